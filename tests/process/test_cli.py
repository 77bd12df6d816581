#!/usr/bin/env python3
"""The command line: exit codes, stdin, binary values, JSON, wrong usage, help, local clusters."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import shutil
import socket
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from synod_cluster import (Cluster, run_cases, synod, wait_for, free_ports, SYNOD, OK, REFUSED,  # noqa: E402
                           USAGE, UNREACHABLE, TIMED_OUT, LOCAL)

COMMANDS = ["put", "get", "del", "txn", "compact", "cluster up", "cluster down", "cluster status",
            "serve", "status", "members", "help", "version", "completion"]

shared = None  # one node for the cases that only need a server


def server():
    global shared
    if shared is None:
        shared = Cluster(nodes=1)
        shared.start()
    return shared


def run(*args, **more):
    return server().cli(*args, **more)


def expect(result, code, out=None, err=None):
    said = (result.returncode, result.stdout[:500], result.stderr[:500])
    assert result.returncode == code, said
    if out is not None:
        assert result.stdout == (out.encode() if isinstance(out, str) else out), said
    if err is not None:
        assert err.encode() in result.stderr, said
        assert result.stderr.count(b"\n") == 1, said  # one clear line
    return result


# ---- Keys and values

def test_put_get_del():
    expect(run("put", "greeting", "hello"), OK, "OK\n")
    expect(run("get", "greeting"), OK, "greeting\nhello\n")
    expect(run("del", "greeting"), OK, "1\n")
    expect(run("del", "greeting"), OK, "0\n")


def test_get_of_a_missing_key_is_ok_and_silent():
    expect(run("get", "no-such-key"), OK, "")


def test_values_from_stdin_are_binary_safe():
    value = bytes(range(256)) * 3 + b"\n\n\0"
    expect(run("put", "binary", stdin=value), OK, "OK\n")
    expect(run("get", "binary", "--print-value-only"), OK, value + b"\n")
    expect(run("put", "binary2", "-", stdin=value), OK, "OK\n")
    answer = json.loads(run("get", "binary2", "-w", "json").stdout)
    assert base64.b64decode(answer["kvs"][0]["value"]) == value
    expect(run("put", "empty", stdin=b""), OK, "OK\n")
    expect(run("get", "empty"), OK, "empty\n\n")


def test_a_large_value_goes_and_comes():
    value = os.urandom(1_000_000)
    expect(run("put", "large", stdin=value), OK)
    expect(run("get", "large", "--print-value-only"), OK, value + b"\n")


def test_a_value_that_is_too_large_is_refused():
    expect(run("put", "huge", stdin=b"x" * 1_600_000), REFUSED, "",
           "etcdserver: request is too large")


def test_ranges():
    for key in ("r/a", "r/b", "r/c", "s"):
        expect(run("put", key, key.upper()), OK)
    expect(run("get", "r/", "--prefix", "--keys-only"), OK, "r/a\nr/b\nr/c\n")
    expect(run("get", "r/", "--prefix", "--count-only"), OK, "3\n")
    expect(run("get", "r/b", "r/z", "--print-value-only"), OK, "R/B\nR/C\n")
    expect(run("get", "r/b", "--from-key", "--limit", "2", "--keys-only"), OK, "r/b\nr/c\n")
    expect(run("get", "r/", "--prefix", "--order", "descend", "--keys-only"), OK, "r/c\nr/b\nr/a\n")
    expect(run("get", "r/", "--prefix", "--sort-by", "modify", "--order", "DESCEND", "--limit", "1",
               "--keys-only"), OK, "r/c\n")
    expect(run("get", "r/a", "--consistency", "s"), OK, "r/a\nR/A\n")
    expect(run("del", "r/", "--prefix", "--prev-kv"), OK,
           "3\nr/a\nR/A\nr/b\nR/B\nr/c\nR/C\n")


def test_get_of_an_old_revision_and_compaction():
    expect(run("put", "old", "1"), OK)
    revision = json.loads(run("get", "old", "-w", "json").stdout)["header"]["revision"]
    expect(run("put", "old", "2", "--prev-kv"), OK, "OK\nold\n1\n")
    expect(run("get", "old", "--rev", revision), OK, "old\n1\n")
    expect(run("compact", revision + 1), OK, f"compacted revision {revision + 1}\n")
    expect(run("compact", revision + 1), REFUSED, "", "has been compacted")
    expect(run("get", "old", "--rev", revision), REFUSED, "", "has been compacted")
    expect(run("get", "old", "--rev", "999999"), REFUSED, "", "future revision")


def test_json_has_the_shape_of_etcdctl():
    expect(run("put", "j", "v"), OK)
    put = json.loads(expect(run("put", "j", "w", "--prev-kv", "-w", "json"), OK).stdout)
    assert set(put["header"]) == {"cluster_id", "member_id", "revision", "raft_term"}, put
    assert put["prev_kv"]["key"] == "ag==" and put["prev_kv"]["value"] == "dg==", put
    get = json.loads(run("get", "j", "--write-out", "json").stdout)
    assert get["count"] == 1 and get["kvs"][0]["version"] == 2, get
    assert list(json.loads(run("get", "none", "-w", "json").stdout)) == ["header"]


def test_txn():
    expect(run("put", "t", "v"), OK)
    text = 'value("t") = "v"\ncreate("no") = "0"\n\nput t "a\\tb\\x00"\nget t\ndel no\n\nget t\n'
    expect(run("txn", stdin=text), OK, b"SUCCESS\n\nOK\n\nt\na\tb\0\n\n0\n")
    expect(run("txn", stdin=text), OK, b"FAILURE\n\nt\na\tb\0\n")
    answer = json.loads(run("txn", "-w", "json", stdin=text).stdout)
    assert answer["responses"][0]["Response"]["ResponseRange"]["count"] == 1, answer
    expect(run("txn", stdin="\n\n\n"), OK, "SUCCESS\n")


def test_txn_that_does_not_parse():
    expect(run("txn", stdin='mod "k" = "1"\n'), USAGE, "", "line 1: malformed compare")
    expect(run("txn", stdin='\nput a\n'), USAGE, "", "line 2: malformed; like put KEY VALUE")
    expect(run("txn", stdin='\nput a 1\nput a 2\n'), REFUSED, "", "duplicate key")


def test_keys_that_look_like_flags():
    expect(run("put", "--", "--key", "--value"), OK)
    expect(run("get", "--", "--key"), OK, "--key\n--value\n")


# ---- Exit codes

def test_the_server_says_no():
    expect(run("put", "", "v"), REFUSED, "", "etcdserver: key is not provided (InvalidArgument")


def test_nobody_is_there():
    port = free_ports(1)[0]
    r = synod("put", "a", "b", "--endpoints", f"127.0.0.1:{port}")
    expect(r, UNREACHABLE, "", "connection refused; nothing was done")
    expect(synod("get", "a", "--endpoints", "no-such-host.invalid:1"), UNREACHABLE, "")


class Hanging:
    """Accepts connections and never answers."""

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(16)
        self.accepted = []
        threading.Thread(target=self.accept, daemon=True).start()
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def accept(self):
        try:
            while True:
                self.accepted.append(self.socket.accept()[0])
        except OSError:
            pass

    def __exit__(self, *_):
        self.socket.close()


def test_common_flags_may_stand_before_the_command():
    endpoint = server()[1].endpoint
    expect(synod("--endpoints", endpoint, "put", "early", "flag"), OK, "OK\n")
    expect(synod("--timeout=5s", "--endpoints=" + endpoint, "get", "early"), OK, "early\nflag\n")
    assert b'"count"' in expect(synod("-wjson", "--endpoints", endpoint, "get", "early"), OK).stdout


def test_a_write_without_an_answer_is_unknown():
    with Hanging() as endpoint:
        r = synod("put", "a", "b", "--endpoints", endpoint, "--timeout", "300ms")
        expect(r, TIMED_OUT, "", "the outcome is unknown")


def test_a_read_without_an_answer_times_out():
    with Hanging() as endpoint:
        r = synod("get", "a", "--endpoints", endpoint, "--timeout", "300ms")
        expect(r, TIMED_OUT, "", "timed out after 0.3 s")
        assert b"unknown" not in r.stderr


def test_a_read_goes_on_to_the_next_endpoint():
    expect(run("put", "next", "1"), OK)
    closed = f"127.0.0.1:{free_ports(1)[0]}"
    with Hanging() as hanging:
        r = run("get", "next", endpoints=[closed, hanging, server()[1].endpoint])
        expect(r, OK, "next\n1\n")


def test_not_a_grpc_server():
    class Http(Hanging):
        def accept(self):
            try:
                while True:
                    s = self.socket.accept()[0]
                    s.recv(1000)
                    s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    while s.recv(1000):  # closing with something unread would be a reset
                        pass
                    s.close()
            except OSError:
                pass
    with Http() as endpoint:
        r = synod("get", "a", "--endpoints", endpoint, "--timeout", "300ms")
        expect(r, TIMED_OUT, "", "gRPC")


def test_endpoints_from_the_environment():
    expect(run("put", "env", "1"), OK)
    expect(synod("get", "env", env={"SYNOD_ENDPOINTS": server()[1].endpoint}), OK, "env\n1\n")


def test_wrong_usage_is_one_line_and_2():
    for args, said in (
            (["gett", "a"], "did you mean 'get'?"),
            (["cluster", "upp"], "did you mean 'cluster up'?"),
            (["cluster"], "needs a second word"),
            (["xyzzy"], "unknown command 'xyzzy'"),
            (["get", "a", "--prefx"], "did you mean --prefix?"),
            (["get", "a", "--xyzzy=1"], "unknown flag --xyzzy"),
            (["get", "a", "-q"], "unknown flag -q"),
            (["get"], "an argument is missing"),
            (["get", "a", "b", "c"], "unexpected argument 'c'"),
            (["get", "a", "--limit"], "--limit needs a value"),
            (["get", "a", "--limit", "-1"], "a number from 0 on"),
            (["get", "a", "--limit", "9999999999999999999"], "a number from 0 on"),
            (["get", "a", "--order", "up"], "one of ascend, descend"),
            (["get", "a", "--prefix=yes"], "--prefix takes no value"),
            (["get", "a", "b", "--prefix"], "exclude each other"),
            (["get", "a", "--timeout", "soon"], "a duration is needed"),
            (["get", "a", "--endpoints", "localhost"], "host:port is needed"),
            (["get", "a", "--endpoints", "h:0"], "the port is a number"),
            (["get", "a", "--endpoints", "https://h:1"], "TLS is not supported"),
            (["get", "a", "--endpoints", ","], "no endpoint given"),
            (["compact", "x"], "is not a revision"),
            (["serve"], "--config FILE is needed"),
            (["completion", "fish"], "there is one for bash"),
            (["help", "xyzzy"], "unknown command 'xyzzy'"),
            (["cluster", "up", "--nodes", "0"], "between 1 and"),
            (["cluster", "up", "--engine", "zab"], "one of raft, multipaxos, paxos"),
            (["--limit", "1", "get", "a"], "may not stand before the command")):
        with tempfile.TemporaryDirectory() as scratch:
            r = subprocess.run([SYNOD, *args], capture_output=True, timeout=20, cwd=scratch)
        expect(r, USAGE, "", said)
    assert synod().returncode == USAGE


def test_output_that_nobody_reads_is_no_crash():
    expect(run("put", "big", stdin=b"x" * 900_000), OK)
    r = subprocess.run(f"{SYNOD} get big --endpoints {server()[1].endpoint} | head -c 1; "
                       "echo ${PIPESTATUS[0]}", shell=True, executable="/bin/bash",
                       capture_output=True, timeout=20)
    assert r.stdout == b"b5\n" and r.stderr == b"", r


# ---- Help

def test_every_command_has_help_with_examples():
    for command in COMMANDS:
        words = command.split()
        a = expect(synod(*words, "--help"), OK).stdout.decode()
        assert a == synod("help", *words).stdout.decode()
        assert a.startswith(f"synod {command} - "), a
        assert f"Usage: synod {command}" in a and "Examples:" in a and "--help" in a, a
        assert all(len(line) <= 130 for line in a.splitlines()), a


def test_the_overview_names_every_command_and_the_exit_codes():
    text = synod("help").stdout.decode()
    for command in COMMANDS:
        assert f"  {command} " in text, command
    assert "Exit codes:" in text
    assert synod("--help").stdout.decode() == text
    assert synod("version").stdout.startswith(b"synod ")


def test_completion_is_shell():
    script = synod("completion", "bash").stdout.decode()
    r = subprocess.run(["bash", "-c", script + """
        complete_() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _synod; echo "${COMPREPLY[@]}"; }
        complete_ synod sta; complete_ synod get --pref; complete_ synod cluster d
        complete_ synod cluster up --fr; complete_ synod cluster up --engine p"""],
                       capture_output=True, timeout=20)
    assert r.stdout.decode().split("\n")[:5] == ["status", "--prefix", "down", "--fresh",
                                                 "paxos"], r


# ---- Nodes

def test_status_shows_a_dead_endpoint_as_a_row():
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    r = run("status", endpoints=[server()[1].endpoint, dead])
    lines = r.stdout.decode().splitlines()
    assert r.returncode == REFUSED and len(lines) == 3, r
    assert lines[0].split()[:4] == ["ENDPOINT", "NODE", "ENGINE", "ROLE"], lines
    assert "leader" in lines[1] and "raft" in lines[1], lines
    assert lines[2].endswith("connection refused"), lines
    assert run("status").returncode == OK
    assert run("status", endpoints=[dead]).returncode == UNREACHABLE
    rows = json.loads(run("status", "-w", "json", endpoints=[server()[1].endpoint, dead]).stdout)
    assert rows[0]["Status"]["synod_engine"] == "raft" and rows[1]["Error"], rows


def test_members():
    text = run("members").stdout.decode()
    assert f"http://{server()[1].endpoint}" in text and "n1" in text, text
    answer = json.loads(run("members", "-w", "json").stdout)
    assert answer["members"][0]["ID"] == 1, answer


def test_serve_check_validates_only():
    with Cluster(nodes=3) as c:
        expect(synod("serve", "--config", c.config_path, "--check"), OK)
        assert not os.path.exists(c[1].data_dir)
        expect(synod("serve", "--config", c.config_path), USAGE, "", "add --node N")
        expect(synod("serve", "--config", c.config_path, "--node", "9"), LOCAL, "",
               "has no member '9'")
        expect(synod("serve", "--config", "/no/such/file", "--check"), LOCAL, "", "/no/such/file")
        assert b"\n  election_ms" in expect(synod("serve", "--help-config"), OK).stdout
        with open(c.config_path, "a", encoding="utf-8") as f:
            f.write("timing:\n  electoin_ms: 100\n")
        expect(synod("serve", "--config", c.config_path, "--check"), LOCAL, "", "electoin_ms")


def test_serve_ends_gracefully_by_sigterm():
    with Cluster(nodes=1) as c:
        c.start()
        assert c[1].stop() == OK
        assert "stopped" in c[1].log().splitlines()[-1]


# ---- Local clusters

class Local:
    """A directory and ports for `synod cluster`."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="synod-test-")
        ports = free_ports(1)
        while not all(self.free(ports[0] + i) for i in range(6)):
            ports = free_ports(1)
        self.flags = ["--dir", self.dir, "--base-port", str(ports[0])]
        self.endpoints = ",".join(f"127.0.0.1:{ports[0] + 2 * i}" for i in range(3))
        return self

    @staticmethod
    def free(port):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return True
            except OSError:
                return False

    def pid(self, name):
        try:
            with open(os.path.join(self.dir, f"{name}.pid"), encoding="ascii") as f:
                return int(f.read())
        except (FileNotFoundError, ValueError):
            return None

    def __exit__(self, *_):
        synod("cluster", "down", "--dir", self.dir)
        shutil.rmtree(self.dir, ignore_errors=True)


def test_cluster_up_and_down_in_the_background():
    with Local() as l:
        up = expect(synod("cluster", "up", "--detach", *l.flags), OK).stdout.decode()
        assert "3 nodes are ready, engine raft" in up and l.endpoints in up, up
        expect(synod("put", "a", "1", "--endpoints", l.endpoints), OK)
        again = synod("cluster", "up", "--detach", *l.flags)
        expect(again, LOCAL, "", "runs in")
        expect(synod("cluster", "status", "--dir", l.dir), OK)
        os.kill(l.pid("n2"), signal.SIGKILL)
        wait_for(lambda: synod("cluster", "status", "--dir", l.dir).returncode == REFUSED,
                 "status to notice")
        assert b"n2 does not run" in synod("cluster", "status", "--dir", l.dir).stdout
        expect(synod("get", "a", "--endpoints", l.endpoints), OK, "a\n1\n")
        down = expect(synod("cluster", "down", "--dir", l.dir), OK).stdout
        assert down.count(b"stopped") == 2, down
        expect(synod("cluster", "down", "--dir", l.dir), OK)  # idempotent
        other = synod("cluster", "up", "--engine", "paxos", "--detach", *l.flags)
        expect(other, LOCAL, "", "--fresh deletes that data")
        expect(synod("cluster", "up", "--detach", "--dir", l.dir), OK)  # as it was
        expect(synod("get", "a", "--endpoints", l.endpoints), OK, "a\n1\n")
        expect(synod("cluster", "down", "--dir", l.dir), OK)
        expect(synod("cluster", "up", "--engine", "paxos", "--detach", "--fresh", *l.flags), OK)
        expect(synod("get", "a", "--endpoints", l.endpoints), OK, "")


def test_cluster_up_in_the_foreground_tells_exits_and_stops_by_ctrl_c():
    with Local() as l:
        errors = open(os.path.join(l.dir, "stderr"), "w+b")
        p = subprocess.Popen([SYNOD, "cluster", "up", *l.flags], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=errors)

        def said(text):
            errors.seek(0)
            return text in errors.read()
        line = b""
        while b"Ctrl-C stops" not in line:
            line = p.stdout.readline()
            assert line, "it ended"
        os.kill(l.pid("n3"), signal.SIGKILL)
        wait_for(lambda: said(b"n3 (node 3) was ended by signal 9 (Killed): last log line: "),
                 "the exit to be told")
        expect(synod("put", "a", "1", "--endpoints", l.endpoints), OK)
        p.send_signal(signal.SIGINT)
        p.wait(20)
        p.stdout.close()
        assert said(b"n1 stopped") and said(b"n2 stopped")
        assert l.pid("n1") is None
        errors.close()


def test_cluster_up_when_a_port_is_taken():
    with Local() as l, socket.socket() as s:
        s.bind(("127.0.0.1", int(l.flags[-1]) + 3))
        s.listen(1)
        expect(synod("cluster", "up", "--detach", *l.flags), LOCAL, "",
               f"port {int(l.flags[-1]) + 3} (n2, for its peers) is in use")


def test_cluster_down_leaves_other_processes_alone():
    with Local() as l:
        expect(synod("cluster", "up", "--nodes", "1", "--detach", *l.flags), OK)
        expect(synod("cluster", "down", "--dir", l.dir), OK)
        other = subprocess.Popen(["sleep", "60"])
        try:
            with open(os.path.join(l.dir, "n1.pid"), "w", encoding="ascii") as f:
                f.write(f"{other.pid}\n")
            expect(synod("cluster", "down", "--dir", l.dir), OK)
            assert other.poll() is None
        finally:
            other.kill()
            other.wait()


def test_cluster_down_without_a_cluster():
    expect(synod("cluster", "down", "--dir", "/no/such/dir"), LOCAL, "", "there is no cluster in")


def test_zz_close():
    """Last: the shared node stops gracefully too."""
    if shared is not None:
        assert shared.stop() == {1: OK}
        shared.close()


run_cases(globals())
