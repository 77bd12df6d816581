"""What a cluster acknowledged, and whether it still stands by it.

    load = Load(cluster, "round1")      # tests/process/load, through all endpoints
    load.wait_acknowledged(500)
    ...kill nodes...
    load.stop()
    check_cluster(cluster)

The load writes every result into cluster.dir/acknowledged; several loads, one after another or side
by side with different prefixes, may share it. check_cluster compares all of it with every node:

    D1, D2  what was acknowledged is there, with its value and at its revision
    P9, R5  the nodes have equal rows, and equal state hashes at an equal applied index
    K1, R9  no stale read and no lost update of a counter (the load sees these)
    K2      no write is applied twice: a key that is written once has version 1, a counter's number
            is its version, and the revision is 1 + the number of all writes
    K3      what was refused was not applied
    K4      revisions are unique, and rise
    R1      at most one leader an epoch, by the nodes' logs
"""

import base64
import json
import os
import re
import subprocess

from synod_cluster import OK, PATIENCE, ROOT, wait_for

BUILD_DIR = os.environ.get("BUILD_DIR") or os.path.join(ROOT, "build", "release")
LOAD = os.path.join(BUILD_DIR, "tests", "process", "load", "main")


class Load:
    """A running load; ends with stop(), or by itself when this process ends."""

    def __init__(self, cluster, prefix, rate=1000, endpoints=None):
        self.path = os.path.join(cluster.dir, "acknowledged")
        self.cluster = cluster
        self._offset = os.path.getsize(self.path) if os.path.exists(self.path) else 0
        self._seen = 0
        self.process = subprocess.Popen(
            [LOAD, ",".join(endpoints or cluster.endpoints), self.path, prefix, str(rate)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cluster.loads = getattr(cluster, "loads", []) + [self]

    def acknowledged(self):
        """How many writes were acknowledged since this load began."""
        if os.path.exists(self.path):
            with open(self.path, "rb") as f:
                f.seek(self._offset)
                new = f.read()
            new = new[:new.rfind(b"\n") + 1]
            self._offset += len(new)
            self._seen += sum(line.startswith((b"put ", b"inc ")) for line in new.splitlines())
        return self._seen

    def wait_acknowledged(self, more, timeout=PATIENCE):
        """Until `more` further writes are acknowledged."""
        goal = self.acknowledged() + more

        def reached():
            assert self.process.poll() is None, "the load ended early"
            return self.acknowledged() >= goal
        wait_for(reached, f"{more} more acknowledged writes", timeout)

    def stop(self, timeout=2 * PATIENCE):
        """Begins nothing more, waits for what is open; gives the totals."""
        self.process.stdin.close()
        totals = self.process.stdout.read().decode()
        assert self.process.wait(timeout) == 0, "the load failed"
        return {k: int(v) for k, v in (word.split("=") for word in totals.split())}

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Promises:
    """The lines of the load's file, by kind."""

    def __init__(self, path):
        self.puts = {}      # key: (value, revision)
        self.incs = {}      # counter: {number: revision}
        self.unknown = {}   # key: [value]
        self.refused = {}   # key: [value]
        self.errors = []
        with open(path, encoding="utf-8") as f:
            for line in f:
                self._take(line.rstrip("\n"))

    def _take(self, line):
        kind, _, rest = line.partition(" ")
        if kind == "violation":
            self.errors.append(rest)
            return
        key, value, last = rest.split(" ", 2)
        if kind == "put":
            self.puts[key] = (value, int(last))
        elif kind == "inc":
            numbers = self.incs.setdefault(key, {})
            if int(value) in numbers:
                self.errors.append(f"{key}: two writers were told they made it {value}")
            numbers[int(value)] = int(last)
        else:
            getattr(self, kind).setdefault(key, []).append(value)

    def revisions(self):
        return ([revision for _, revision in self.puts.values()] +
                [revision for numbers in self.incs.values() for revision in numbers.values()])


class Row:
    def __init__(self, kv):
        self.value = base64.b64decode(kv.get("value", "")).decode()
        self.create = int(kv["create_revision"])
        self.mod = int(kv["mod_revision"])
        self.version = int(kv["version"])

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return f"'{self.value[:24]}' at {self.create}/{self.mod}, version {self.version}"


def read_all(cluster, node, serializable=True):
    """(revision, {key: Row}) of one node."""
    flags = ["-w", "json", "--timeout", "20s", "--prefix",
             *(["--consistency", "s"] if serializable else [])]
    result = cluster.cli("get", "", node=node, flags=flags)
    assert result.returncode == OK, (node, result.stderr.decode(errors="replace"))
    answer = json.loads(result.stdout)
    rows = {base64.b64decode(kv["key"]).decode(): Row(kv) for kv in answer.get("kvs", [])}
    return int(answer["header"]["revision"]), rows


def compare(promises, revision, rows):
    """Every way in which these rows break the promises, as texts."""
    errors = list(promises.errors)
    for key, (value, at) in promises.puts.items():
        row = rows.get(key)
        if row is None:
            errors.append(f"{key}: acknowledged at revision {at} and lost")
        elif (row.value, row.version, row.create, row.mod) != (value, 1, at, at):
            errors.append(f"{key}: acknowledged as '{value[:24]}' at {at}, is {row}")
    for key, numbers in promises.incs.items():
        errors += compare_counter(key, numbers, rows.get(key), promises.unknown.get(key, []))
    for key, row in rows.items():
        if key.startswith("k/") and key not in promises.puts:
            if row.value not in promises.unknown.get(key, []):
                why = "was refused" if key in promises.refused else "nobody wrote it"
                errors.append(f"{key}: {why}, and is there: {row}")
            elif row.version != 1:
                errors.append(f"{key}: written once, is {row}")
    told = promises.revisions()
    if len(set(told)) != len(told):
        errors.append("two writes were told the same revision")
    writes = sum(row.version for row in rows.values())
    if revision != 1 + writes:
        errors.append(f"revision {revision} after {writes} writes")
    return errors


def compare_counter(key, numbers, row, unknown):
    if row is None:
        return [f"{key}: was counted to {max(numbers)} and is lost"]
    errors = []
    if int(row.value) != row.version:
        errors.append(f"{key}: a step was done twice or got lost: {row}")
    if int(row.value) < max(numbers):
        errors.append(f"{key}: was counted to {max(numbers)}, is {row}")
    if int(row.value) - len(numbers) > len(unknown):
        errors.append(f"{key}: {len(numbers)} steps acknowledged, {len(unknown)} unknown, is {row}")
    ordered = [numbers[n] for n in sorted(numbers)]
    if ordered != sorted(ordered):
        errors.append(f"{key}: its revisions do not rise")
    return errors


def two_leaders(cluster):
    """R1 by the nodes' logs."""
    leaders = {}
    for n in cluster.nodes.values():
        for epoch in re.findall(r"became_leader epoch=(\d+)", n.log()):
            leaders.setdefault(epoch, set()).add(n.id)
    return [f"epoch {epoch} has leaders {ids}" for epoch, ids in leaders.items() if len(ids) > 1]


def check_cluster(cluster, least=1):
    """Waits until all nodes have applied the same, and fails unless every promise is kept on each;
    least: so many writes were acknowledged, or the test has tested nothing. Gives the revision."""
    cluster.wait_equal()
    promises = Promises(os.path.join(cluster.dir, "acknowledged"))
    assert len(promises.revisions()) >= least, f"only {len(promises.revisions())} acknowledged"
    errors = two_leaders(cluster)
    first = None
    for i in cluster.running():
        revision, rows = read_all(cluster, i)
        errors += [f"node {i}: {e}" for e in compare(promises, revision, rows)]
        if first is None:
            first = (revision, rows)
        elif (revision, rows) != first:
            errors.append(f"node {i} is at revision {revision} with {len(rows)} keys, another at "
                          f"{first[0]} with {len(first[1])}, or a row differs")
    assert not errors, f"{len(errors)} violations:\n" + "\n".join(errors[:20])
    return first[0]
