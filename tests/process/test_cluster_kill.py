#!/usr/bin/env python3
"""Real processes under load: kill -9 of a minority with its leader, kill -9 of all, graceful stop,
a paused leader. Afterwards every acknowledged write must be there, once, on every node.

For each engine with 3 and 5 nodes: D1, D2 (kill -9 keeps what the kernel has; power cuts are
simulated in tests/sim), K1-K4, P9, R1, R5, R9, R11. See acknowledged.py for what is compared.
"""
# run-tests: timeout=600

import copy
import os
import subprocess
import time

from acknowledged import LOAD, Load, Promises, check_cluster, compare, read_all
from synod_cluster import OK, SYNOD, Cluster, run_cases, wait_for

ENGINES = ("raft", "multipaxos", "paxos")
# Short elections keep the test short; nothing here depends on them.
SECTIONS = {"timing": {"election_ms": 300}}


class Loaded(Cluster):
    """A cluster whose loads end with it."""

    def close(self):
        for load in getattr(self, "loads", []):
            load.kill()
        super().close()


def victims(c):
    """A minority: the leader, where there is one, and others up to it."""
    count = (len(c.nodes) - 1) // 2
    first = 1 if c.engine == "paxos" else c.wait_leader()
    return [first, *[i for i in c.ids if i != first]][:count]


def kill_a_minority(c):
    load = Load(c, "minority")
    load.wait_acknowledged(500)
    chosen = victims(c)
    c.kill(*chosen)
    load.wait_acknowledged(500)  # R11: writes go on without them
    c.start(*chosen)
    load.wait_acknowledged(200)
    load.stop()
    check_cluster(c, least=1200)


def kill_all(c, prefix):
    load = Load(c, prefix)
    load.wait_acknowledged(500)
    c.kill()
    c.start(ready=False)
    load.wait_acknowledged(500)
    load.stop()
    return check_cluster(c, least=1000)


def run_engine(engine, nodes):
    with Loaded(nodes=nodes, engine=engine, sections=SECTIONS) as c:
        c.start()
        kill_a_minority(c)
        before = kill_all(c, "all")
        assert set(c.stop().values()) == {OK}
        c.start()
        assert check_cluster(c) == before  # K4: the revision after a restart is the one before
        load = Load(c, "again")
        load.wait_acknowledged(200)
        assert set(c.stop().values()) == {OK}  # under load: open calls are answered or unknown
        c.start(ready=False)
        load.wait_acknowledged(200)
        load.stop()
        kill_all(c, "last")


def test_raft_3_nodes_keep_every_acknowledged_write():
    run_engine("raft", 3)


def test_raft_5_nodes_keep_every_acknowledged_write():
    run_engine("raft", 5)


def test_multipaxos_3_nodes_keep_every_acknowledged_write():
    run_engine("multipaxos", 3)


def test_multipaxos_5_nodes_keep_every_acknowledged_write():
    run_engine("multipaxos", 5)


def test_paxos_3_nodes_keep_every_acknowledged_write():
    run_engine("paxos", 3)


def test_paxos_5_nodes_keep_every_acknowledged_write():
    run_engine("paxos", 5)


# ---- A paused node

PAUSE_S = 2.0  # the fault itself: more than election time-outs, lease times and client attempts
READERS = 12


def begin_read(c, node, key):
    return subprocess.Popen(
        [SYNOD, "get", "--endpoints", c[node].endpoint, "--timeout", "20s", "--print-value-only",
         key], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def pause_leader(engine):
    """R9: what waits at a paused leader is read by it when others have moved on; each answer must
    be the newest write, which was acknowledged before the node woke."""
    with Loaded(nodes=3, engine=engine, sections=SECTIONS) as c:
        c.start()
        load = Load(c, "paused")
        load.wait_acknowledged(200)
        paused = 1 if engine == "paxos" else c.wait_leader()
        others = [i for i in c.ids if i != paused]
        elsewhere = [c[i].endpoint for i in others]
        c.put("register", "old", endpoints=elsewhere)
        readers = []
        c[paused].pause()
        try:
            began = time.monotonic()
            c.put("register", "new", endpoints=elsewhere)
            readers = [begin_read(c, paused, "register") for _ in range(READERS)]
            load.wait_acknowledged(200)  # R11
            wait_for(lambda: time.monotonic() - began > PAUSE_S, "the pause to end")
        finally:
            c[paused].resume()
        try:
            answers = [r.communicate(timeout=30) + (r.returncode,) for r in readers]
        finally:
            for r in readers:
                r.kill()
        for out, err, code in answers:
            assert (code, out) == (OK, b"new\n"), (code, out, err)
        load.wait_acknowledged(200)
        load.stop()
        for i in c.ids:
            assert c.get("register", node=i) == "new"
        check_cluster(c, least=600)


def test_raft_paused_leader_gives_no_stale_read():
    pause_leader("raft")


def test_multipaxos_paused_leader_gives_no_stale_read():
    pause_leader("multipaxos")


def test_paxos_paused_node_gives_no_stale_read():
    pause_leader("paxos")


# ---- The verifier itself: each of these must turn it red

def test_verifier_sees_what_is_wrong():
    with Loaded(nodes=1, sections=SECTIONS) as c:
        c.start()
        load = Load(c, "small")
        load.wait_acknowledged(300)
        load.stop()
        check_cluster(c, least=300)
        path = os.path.join(c.dir, "acknowledged")
        good = Promises(path)
        revision, rows = read_all(c, 1)
        assert compare(good, revision, rows) == []

        def red(what, change, word):
            promises, now = Promises(path), [revision, copy.deepcopy(rows)]
            change(promises, now)
            errors = compare(promises, *now)
            assert errors and all(word in e for e in errors), (what, errors)

        key = next(iter(good.puts))
        counter = next(iter(good.incs))

        def lose(p, now):
            now[0] -= now[1].pop(key).version

        def lose_step(p, now):
            row = now[1][counter]
            row.value, row.version, now[0] = str(int(row.value) - 1), row.version - 1, now[0] - 1

        def twice(p, now):
            now[1][key].version += 1
            now[0] += 1

        red("a lost write", lose, "and lost")
        red("an acknowledged line that is not there", lambda p, now: p.puts.pop(key), "nobody")
        red("a wrong value", lambda p, now: setattr(now[1][key], "value", "x"), "acknowledged as")
        red("a write applied twice", twice, "version 2")
        red("another revision", lambda p, now: setattr(now[1][key], "mod", 1), "acknowledged as")
        red("a lost step", lose_step, "counted")
        red("a step too many", lambda p, now: p.incs[counter].pop(1), "0 unknown")
        red("a write nobody was told of", lambda p, now: now.__setitem__(0, now[0] + 1), "writes")
        red("a refused write that is there",
            lambda p, now: p.refused.update({key: [p.puts.pop(key)[0]]}), "was refused")
        with open(path, "a", encoding="utf-8") as f:
            f.write("put k/small/never x 7\n")
        try:
            check_cluster(c)
        except AssertionError as e:
            assert "never: acknowledged" in str(e) and "same revision" in str(e), e
        else:
            raise AssertionError("a promise that was never kept is not seen")


run_cases(globals(), need=(SYNOD, LOAD))
