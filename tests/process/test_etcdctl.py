#!/usr/bin/env python3
"""etcdctl, unchanged, against Synod: each engine serves the commands that people use daily."""

import json
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from synod_cluster import Cluster, run_cases, SYNOD  # noqa: E402


def etcdctl(cluster, *args, stdin="", code=0, node=None):
    """Output of a command at all endpoints, or at one node's; `code` is what it must exit with."""
    endpoints = cluster.endpoints if node is None else [cluster[node].endpoint]
    r = subprocess.run(["etcdctl", "--endpoints", ",".join(endpoints), *args], input=stdin.encode(),
                       capture_output=True, timeout=60, env=dict(os.environ, ETCDCTL_API="3"))
    assert r.returncode == code, (args, r.returncode, r.stdout[:500], r.stderr[:500])
    return r.stdout.decode() if code == 0 else r.stderr.decode()


def session(engine, nodes):
    with Cluster(nodes=nodes, engine=engine) as c:
        c.start()
        keys(c)
        ranges(c)
        transactions(c)
        history(c)
        errors(c)
        endpoints(c)
        synod_sees_the_same(c)


def keys(c):
    assert etcdctl(c, "put", "foo", "bar") == "OK\n"
    assert etcdctl(c, "get", "foo") == "foo\nbar\n"
    assert etcdctl(c, "put", "foo", "bar2", "--prev-kv") == "OK\nfoo\nbar\n"
    assert etcdctl(c, "get", "foo", "--print-value-only") == "bar2\n"
    assert etcdctl(c, "get", "missing") == ""
    kv = json.loads(etcdctl(c, "get", "foo", "-w", "json"))["kvs"][0]
    assert kv["version"] == 2 and kv["mod_revision"] == kv["create_revision"] + 1, kv
    assert etcdctl(c, "del", "foo") == "1\n"
    assert etcdctl(c, "del", "foo") == "0\n"
    for node in c.ids:  # every node takes writes and serves what the others took
        assert etcdctl(c, "put", f"from{node}", str(node), node=node) == "OK\n"
    for node in c.ids:
        assert etcdctl(c, "get", "from", "--prefix", "--print-value-only", node=node) == \
            "".join(f"{i}\n" for i in c.ids)


def ranges(c):
    for i in range(5):
        etcdctl(c, "put", f"p/{i}", f"v{i}")
    assert etcdctl(c, "get", "p/", "--prefix", "--limit", "2") == "p/0\nv0\np/1\nv1\n"
    assert etcdctl(c, "get", "p/1", "p/3") == "p/1\nv1\np/2\nv2\n"
    assert etcdctl(c, "get", "p/3", "--from-key", "--limit=2") == "p/3\nv3\np/4\nv4\n"
    assert etcdctl(c, "get", "p/", "--prefix", "--order=DESCEND", "--limit=1") == "p/4\nv4\n"
    assert etcdctl(c, "get", "p/", "--prefix", "--sort-by=MODIFY", "--order=DESCEND", "--limit=1",
                   "--consistency=s", node=c.ids[0]).startswith("p/")
    assert etcdctl(c, "get", "p/", "--prefix", "--keys-only") == \
        "".join(f"p/{i}\n\n" for i in range(5))
    assert etcdctl(c, "del", "p/", "--prefix", "--prev-kv").startswith("5\np/0\nv0\n")


def transactions(c):
    etcdctl(c, "put", "t", "1")
    text = 'value("t") = "1"\nversion("new") = "0"\n\nput t 2\nput new x\nget t\n\nput t 3\n\n'
    assert etcdctl(c, "txn", stdin=text) == "SUCCESS\n\nOK\n\nOK\n\nt\n2\n"
    assert etcdctl(c, "txn", stdin=text) == "FAILURE\n\nOK\n"
    assert etcdctl(c, "get", "t", "--print-value-only") == "3\n"
    assert "duplicate key" in etcdctl(c, "txn", stdin="\nput t 2\nput t 3\n\n\n", code=1)


def history(c):
    def revision():
        return json.loads(etcdctl(c, "get", "h", "-w", "json"))["header"]["revision"]

    etcdctl(c, "put", "h", "old")
    old = revision()
    etcdctl(c, "put", "h", "new")
    assert revision() == old + 1
    assert etcdctl(c, "get", "h", f"--rev={old}") == "h\nold\n"
    assert etcdctl(c, "compact", str(old + 1)) == f"compacted revision {old + 1}\n"
    assert "has been compacted" in etcdctl(c, "get", "h", f"--rev={old}", code=1)
    assert "has been compacted" in etcdctl(c, "compact", str(old), code=1)
    assert "future revision" in etcdctl(c, "get", "h", "--rev=1000000", code=1)
    assert etcdctl(c, "get", "h") == "h\nnew\n"


def errors(c):
    assert "requested lease not found" in etcdctl(c, "put", "l", "v", "--lease=1234", code=1)
    assert "key not found" in etcdctl(c, "put", "nothing", "--ignore-value", code=1)
    # A service that is not there yet is said to be so, and the connection survives.
    assert "nimplemented" in etcdctl(c, "user", "list", code=1)


def endpoints(c):
    rows = json.loads(etcdctl(c, "endpoint", "status", "-w", "json"))
    assert len(rows) == len(c.ids), rows
    assert len({r["Status"]["header"]["cluster_id"] for r in rows}) == 1, rows
    assert {r["Status"]["header"]["member_id"] for r in rows} == set(c.ids), rows
    assert all(r["Status"]["dbSize"] > 0 for r in rows), rows
    assert all(r["Status"]["version"].startswith("3.") for r in rows), rows
    members = json.loads(etcdctl(c, "member", "list", "-w", "json"))["members"]
    assert [m["ID"] for m in members] == c.ids, members
    assert sorted(m["clientURLs"][0] for m in members) == sorted(f"http://{e}" for e in c.endpoints)
    assert etcdctl(c, "member", "list").count("started") == len(c.ids)
    health = json.loads(etcdctl(c, "endpoint", "health", "-w", "json"))
    assert all(row["health"] for row in health), health


def synod_sees_the_same(c):
    etcdctl(c, "put", "both", "same")
    for args in (["get", "both"], ["get", "from", "--prefix"], ["del", "nothing"]):
        assert c.cli(*args).stdout.decode() == etcdctl(c, *args), args
    ours = json.loads(c.cli("get", "both", "-w", "json").stdout)
    theirs = json.loads(etcdctl(c, "get", "both", "-w", "json"))
    for answer in (ours, theirs):  # another node may have answered
        del answer["header"]["member_id"]
    assert ours == theirs, (ours, theirs)


def test_etcdctl_with_one_node():
    session("raft", 1)


def test_etcdctl_with_raft():
    session("raft", 3)


def test_etcdctl_with_multipaxos():
    session("multipaxos", 3)


def test_etcdctl_with_paxos():
    session("paxos", 3)


run_cases(globals(), need=(SYNOD, "etcdctl"))
