"""A cluster of real synod processes, for tests: configuration, ports, processes, waiting.

    from synod_cluster import Cluster, run_cases

    def test_put_is_seen_by_every_node():
        with Cluster(nodes=3, engine="raft") as c:
            c.start()
            c.put("a", "1")
            for n in c.ids:
                assert c.get("a", node=n) == "1"

    run_cases(globals())

Processes are started, signalled and waited for by their pid; nothing is found by name. There is no
blind sleep: wait_for polls a condition until a deadline. When a test fails, the end of every node's
log is printed. SYNOD names the program (default: build/synod of this checkout); SYNOD_KEEP=1 keeps
the directories.

Not here: what is tested.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYNOD = os.environ.get("SYNOD") or os.path.join(ROOT, "build", "synod")
# Exit codes of the program (kv/cli.h).
OK, REFUSED, USAGE, UNREACHABLE, TIMED_OUT, LOCAL = range(6)
# The sanitizers and a busy machine make everything slower; deadlines are generous, never waited out.
PATIENCE = 60.0 if os.environ.get("BUILD") == "asan" else 30.0


class Skip(Exception):
    """Raised by a case that cannot run here; the text says why."""


class Timeout(AssertionError):
    """A condition did not become true in time."""


def wait_for(condition, what, timeout=PATIENCE, step=0.05):
    """Calls condition() until it gives something true, which is returned; what: for the error."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise Timeout(f"waited {timeout:g} s for: {what}")
        time.sleep(step)


def free_ports(count):
    """Ports of 127.0.0.1 that are free now, from below the range the system hands out itself, so
    that no connection takes one before its node listens."""
    first = 10240 + (os.getpid() * 67 + time.monotonic_ns() // 1000) % 20000
    ports = []
    port = first
    while len(ports) < count:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            try:
                s.bind(("127.0.0.1", port))
                ports.append(port)
            except OSError:
                pass
        port = 10240 + (port + 1 - 10240) % 22000
    return ports


def synod(*args, stdin=None, timeout=PATIENCE, env=None):
    """Runs the program; text or bytes as stdin; gives a CompletedProcess with bytes."""
    if isinstance(stdin, str):
        stdin = stdin.encode()
    environment = dict(os.environ)
    environment.pop("SYNOD_ENDPOINTS", None)
    environment.update(env or {})
    arguments = [a if isinstance(a, (str, bytes)) else str(a) for a in args]
    return subprocess.run([SYNOD, *arguments], input=stdin if stdin is not None else b"",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          env=environment)


class Node:
    """One node: its ports, its process, its files."""

    def __init__(self, cluster, number, peer_port, client_port):
        self.cluster = cluster
        self.id = number
        self.name = f"n{number}"
        self.peer_port = peer_port
        self.client_port = client_port
        self.process = None
        self.log_path = os.path.join(cluster.dir, f"{self.name}.log")
        self.data_dir = os.path.join(cluster.dir, "data", self.name)
        self.trace_path = os.path.join(cluster.dir, f"{self.name}.trace")

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.client_port}"

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def start(self, *extra, config=None):
        """Starts the process and does not wait; extra: more flags of `synod serve`."""
        assert not self.running(), f"{self.name} runs already"
        command = [SYNOD, "serve", "--config", config or self.cluster.config_path,
                   "--node", str(self.id), "--data-dir", self.data_dir, *extra]
        if "--no-init" in command:
            command.remove("--no-init")
        elif not os.path.exists(os.path.join(self.data_dir, "log")):
            command.append("--init")
        if self.cluster.trace:
            command += ["--trace", self.trace_path]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.cluster.dir)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        assert self.running(), f"{self.name} does not run"
        self.process.send_signal(number)

    def wait(self, timeout=PATIENCE):
        """Waits for its end; gives the exit code, negative for a signal."""
        return self.process.wait(timeout)

    def kill(self):
        """kill -9, and waits until it is gone."""
        if self.running():
            self.signal(signal.SIGKILL)
        if self.process is not None:
            self.wait()

    def stop(self, timeout=PATIENCE):
        """SIGTERM, and waits; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""


class Cluster:
    """N nodes of one configuration in a directory of their own."""

    def __init__(self, nodes=3, engine="raft", sections=None, trace=False, name="test"):
        """sections: further YAML, {"timing": {"election_ms": 300}, ...}."""
        self.engine = engine
        self.name = name
        self.trace = trace
        self.sections = sections or {}
        self.dir = tempfile.mkdtemp(prefix="synod-test-")
        self.config_path = os.path.join(self.dir, "cluster.yaml")
        self._ports = free_ports(2 * nodes)
        self.nodes = {i + 1: Node(self, i + 1, self._ports[2 * i], self._ports[2 * i + 1])
                      for i in range(nodes)}
        self.write_config()

    def write_config(self):
        lines = ["cluster:", f"  name: {self.name}", f"  engine: {self.engine}", "  members:"]
        for n in self.nodes.values():
            lines.append(f'    - {{id: {n.id}, name: {n.name}, peer: "127.0.0.1:{n.peer_port}", '
                         f'client: "127.0.0.1:{n.client_port}"}}')
        for section, keys in self.sections.items():
            lines.append(f"{section}:")
            lines += [f"  {key}: {value}" for key, value in keys.items()]
        with open(self.config_path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None and kind is not Skip:
            self.print_logs()
        self.close()

    def __getitem__(self, number):
        return self.nodes[number]

    @property
    def ids(self):
        return list(self.nodes)

    @property
    def endpoints(self):
        return [n.endpoint for n in self.nodes.values()]

    # ---- Processes

    def start(self, *numbers, ready=True):
        """Starts these nodes (none given: all that do not run) and waits until they serve."""
        chosen = [self.nodes[i] for i in numbers] or [n for n in self.nodes.values()
                                                       if not n.running()]
        for n in chosen:
            n.start()
        if ready:
            self.wait_ready(*[n.id for n in chosen])

    def kill(self, *numbers):
        for i in numbers or self.ids:
            self.nodes[i].kill()

    def stop(self, *numbers):
        """SIGTERM to each of these (all), then waits for all; gives {id: exit code}."""
        chosen = [self.nodes[i] for i in numbers or self.ids if self.nodes[i].running()]
        for n in chosen:
            n.signal(signal.SIGTERM)
        return {n.id: n.wait() for n in chosen}

    def restart(self, *numbers, ready=True):
        """kill -9 and start again."""
        self.kill(*numbers)
        self.start(*(numbers or self.ids), ready=ready)

    def running(self):
        return [n.id for n in self.nodes.values() if n.running()]

    def wait_ready(self, *numbers, timeout=PATIENCE):
        """Until each of these nodes answers a linearizable read; a node that exits is an error."""
        for i in numbers or self.ids:
            node = self.nodes[i]

            def answers(node=node):
                if not node.running():
                    raise AssertionError(f"{node.name} exited with {node.process.returncode}: "
                                         f"{node.log()[-500:]}")
                return self.cli("get", "synod-test-ready", node=node.id,
                                flags=["--timeout", "1s"]).returncode == OK
            wait_for(answers, f"{node.name} to answer", timeout)

    def close(self):
        for n in self.nodes.values():
            n.kill()
        if os.environ.get("SYNOD_KEEP"):
            print(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def print_logs(self, lines=15):
        for n in self.nodes.values():
            for line in n.log().splitlines()[-lines:]:
                print(f"    {n.name}: {line}")

    # ---- The command line

    def cli(self, *args, node=None, endpoints=None, stdin=None, flags=(), timeout=PATIENCE):
        """synod ARGS --endpoints ..., at all nodes or at one."""
        if endpoints is None:
            endpoints = self.endpoints if node is None else [self.nodes[node].endpoint]
        command, *words = args
        return synod(command, "--endpoints", ",".join(endpoints), *flags, *words, stdin=stdin,
                     timeout=timeout)

    def _done(self, result):
        assert result.returncode == OK, (result.returncode, result.stderr.decode(errors="replace"))
        return result.stdout

    def put(self, key, value, node=None, **more):
        self._done(self.cli("put", key, "-", node=node, stdin=value, **more))

    def get(self, key, node=None, serializable=False, **more):
        """The value as text; None when the key is not there."""
        flags = ["-w", "json", *(["--consistency", "s"] if serializable else [])]
        answer = json.loads(self._done(self.cli("get", key, node=node, flags=flags, **more)))
        if not answer.get("kvs"):
            return None
        import base64
        return base64.b64decode(answer["kvs"][0].get("value", "")).decode()

    def status(self):
        """{id: status or None}: Maintenance.Status of each node that answers."""
        result = self.cli("status", flags=["-w", "json", "--timeout", "2s"])
        rows = {row["Endpoint"]: row.get("Status") for row in json.loads(result.stdout or b"[]")}
        return {n.id: rows.get(n.endpoint) for n in self.nodes.values()}

    def leader(self):
        """Id of the node that leads and that a majority follows, or None; engines without a leader
        have none."""
        rows = [s for s in self.status().values() if s]
        for s in rows:
            number = s["header"]["member_id"]
            followers = sum(1 for o in rows if o.get("leader") == number)
            if s.get("leader") == number and followers > len(self.nodes) // 2:
                return number
        return None

    def wait_leader(self, timeout=PATIENCE):
        return wait_for(self.leader, "a leader that a majority follows", timeout)

    def wait_equal(self, timeout=PATIENCE):
        """Until all nodes that run have applied the same index; gives its state hash, and fails
        when they differ."""
        def equal():
            status = self.status()
            rows = [status[i] for i in self.running()]
            if not all(rows) or len({r.get("raftAppliedIndex", 0) for r in rows}) != 1:
                return None
            return {r.get("synod_state_hash", "") for r in rows}
        hashes = wait_for(equal, "all nodes to have applied the same", timeout)
        assert len(hashes) == 1, f"state hashes differ at the same index: {hashes}"
        return hashes.pop()


# ---- Running cases

def run_cases(namespace, need=(SYNOD,)):
    """Runs every test_* function of a script; prints and exits as scripts/run-tests wants it. Words
    on the command line choose cases."""
    for program in need:
        if not (os.access(program, os.X_OK) if "/" in program else shutil.which(program)):
            print(f"skipped: {program} is not there")
            sys.exit(77)
    cases = [(name, f) for name, f in namespace.items()
             if name.startswith("test_") and callable(f)]
    chosen = sys.argv[1:]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, case in cases:
        if chosen and not any(word in name for word in chosen):
            continue
        began = time.monotonic()
        try:
            case()
            verdict, why = "passed", ""
        except Skip as skip:
            verdict, why = "skipped", f" ({skip})"
        except Exception:  # every other case still runs
            traceback.print_exc(file=sys.stdout)
            verdict, why = "failed", ""
        counts[verdict] += 1
        print(f"{verdict} {name}{why}  {time.monotonic() - began:.2f} s", flush=True)
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}")
    sys.exit(1 if counts["failed"] else 0)
