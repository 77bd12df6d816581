#!/usr/bin/env python3
"""An older copy of a node's data directory is put back, or an empty one (D9, D3): the node has
forgotten what it promised, the others have not, and it stops with one line that says so. With its
newest data it comes back.
"""
# run-tests: timeout=180

import os
import re
import shutil

from synod_cluster import LOCAL, Cluster, run_cases

LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+ (ERROR|WARN|INFO|DEBUG) ")
VICTIM = 3
FAST = {"timing": {"election_ms": 300}}


def put_some(c, prefix, node=None):
    for i in range(5):
        c.put(f"{prefix}{i}", prefix, node=node)


def replace(c, source):
    """The victim's directory is now a copy of `source`; gives where the one before is kept."""
    data = c[VICTIM].data_dir
    kept = os.path.join(c.dir, "newest")
    if not os.path.exists(kept):
        shutil.move(data, kept)
    shutil.rmtree(data, ignore_errors=True)
    if source is not None:
        shutil.copytree(source, data)
    return kept


def must_refuse(c, *flags):
    open(c[VICTIM].log_path, "wb").close()
    c[VICTIM].start(*flags)
    code = c[VICTIM].wait()
    lines = [line for line in c[VICTIM].log().splitlines() if not LOG_LINE.match(line)]
    assert code == LOCAL and len(lines) == 1, (code, lines)
    for word in (c[VICTIM].data_dir, "older than what this node has already told others",
                 "old copy", "newest copy"):
        assert word in lines[0], f"'{word}' is not in: {lines[0]}"


def old_copy(engine):
    with Cluster(nodes=3, engine=engine, sections=FAST) as c:
        old = os.path.join(c.dir, "old")
        c.start()
        put_some(c, "before", node=VICTIM)
        c.kill(VICTIM)
        shutil.copytree(c[VICTIM].data_dir, old)
        c.start(VICTIM)
        put_some(c, "after", node=VICTIM)
        c.kill(VICTIM)
        newest = replace(c, old)
        must_refuse(c, "--no-init")
        must_refuse(c, "--no-init")  # and it does not wear off
        replace(c, None)
        must_refuse(c, "--init")  # D3: neither may it come back empty
        put_some(c, "without", node=1)
        replace(c, newest)
        c.start(VICTIM)
        for prefix in ("before", "after", "without"):
            assert c.get(f"{prefix}4", node=VICTIM) == prefix
        c.wait_equal()
        c.restart(VICTIM)  # it is no older than it was
        put_some(c, "more", node=VICTIM)


def test_raft_old_copy_is_refused():
    old_copy("raft")


def test_multipaxos_old_copy_is_refused():
    old_copy("multipaxos")


def test_paxos_old_copy_is_refused():
    old_copy("paxos")


run_cases(globals())
