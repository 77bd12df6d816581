#!/usr/bin/env python3
"""What people, configurations and strangers on the network get wrong: each mistake is one clear
line that names the remedy and the right exit code (kv/cli.h), and nothing that arrives on a port
harms a node or its other clients.
"""

import os
import re
import resource
import shutil
import socket
import struct
import subprocess

from acknowledged import LOAD, Load
from synod_cluster import (LOCAL, PATIENCE, REFUSED, SYNOD, UNREACHABLE, USAGE, Cluster, free_ports,
                           run_cases, synod, wait_for)

MIB = 1024 * 1024
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+ (ERROR|WARN|INFO|DEBUG) ")


def the_line(result, code, *words):
    """The program ended with this code after exactly one line of error, which has these words."""
    text = result.stderr.decode(errors="replace")
    lines = [line for line in text.splitlines() if not LOG_LINE.match(line)]
    assert result.returncode == code, (result.returncode, text)
    assert len(lines) == 1, text
    for word in words:
        assert word in lines[0], f"'{word}' is not in: {lines[0]}"


def serve(config, *flags):
    return synod("serve", "--init", "--config", config, *flags, timeout=PATIENCE)


# ---- The command line

def test_command_line_mistakes_are_told():
    the_line(synod("pot", "a", "b"), USAGE, "unknown command 'pot'", "'put'")
    the_line(synod("put", "--prevkv", "a", "b"), USAGE, "unknown flag --prevkv", "--prev-kv")
    the_line(synod("serve", "--confg", "x.yaml"), USAGE, "unknown flag --confg", "--config?")
    the_line(synod("serve"), USAGE, "--config FILE is needed", "cluster-configs/")
    the_line(synod("put"), USAGE, "an argument is missing", "put --help")
    the_line(synod("get", "a", "b", "c"), USAGE, "unexpected argument 'c'")
    the_line(synod("get", "a", "--timeout", "soon"), USAGE, "--timeout soon", "like 5s")
    the_line(synod("compact", "now"), USAGE, "'now' is not a revision")
    the_line(synod("get", "a", "--endpoints", "nowhere"), USAGE, "'nowhere'", "host:port")
    port = free_ports(1)[0]
    the_line(synod("put", "a", "b", "--endpoints", f"127.0.0.1:{port}"), UNREACHABLE,
             "connection refused", "nothing was done")


# ---- The configuration

GOOD = """cluster:
  name: c
  engine: raft
  members:
    - {id: 1, name: n1, peer: "127.0.0.1:1", client: "127.0.0.1:2"}
    - {id: 2, name: n2, peer: "127.0.0.1:3", client: "127.0.0.1:4"}
timing:
  election_ms: 500
"""

CONFIGURATIONS = [
    # what is replaced, by what, what the line says
    ("engine: raft", "engine: rft", ("c.yaml:3:", "paxos, multipaxos, raft", "did you mean raft?")),
    ("engine: raft", "engine: zab", ("c.yaml:3:", "paxos, multipaxos, raft", "zab")),
    ("engine: raft", "engin: raft", ("c.yaml:3:", "cluster.engin;", "did you mean engine?")),
    ("timing:", "timming:", ("c.yaml:7:", "timming", "did you mean timing?")),
    ("election_ms: 500", "election: 500", ("c.yaml:8:", "timing.election;", "election_ms")),
    ("election_ms: 500", "election_ms: soon", ("c.yaml:8:", "timing.election_ms", "250ms")),
    ("election_ms: 500", "election_ms: 2", ("c.yaml:8:", "timing.election_ms", "10ms to 50s")),
    ("election_ms: 500", "election_ms: 500\n  election_ms: 600", ("c.yaml:9:", "election_ms")),
    ("election_ms: 500", "election_ms: 500\nstorage:\n  log: tape",
     ("c.yaml:10:", "storage.log", "leveldb, memory")),
    ("127.0.0.1:4", "127.0.0.1:99999", ("c.yaml:6:", "client must be host:port", "99999")),
    ("127.0.0.1:4", "127.0.0.1:2", ("c.yaml:6:", "members 2 and 1 share an address")),
    ("127.0.0.1:4", "127.0.0.1:3", ("c.yaml:6:", "same address")),
    ("id: 2", "id: 1", ("c.yaml:6:", "1")),
    ("name: n2", "name: n1", ("c.yaml:6:", "n1")),
    ("  name: c", "\tname: c", ("c.yaml:2:",)),
    (GOOD, "", ("c.yaml", "empty", "cluster-configs/")),
    (GOOD, "cluster: [", ("c.yaml:",)),
    (GOOD, "\x00\x01\x02", ("c.yaml:1:",)),
]


def test_configuration_mistakes_are_told_with_their_line():
    with Cluster(nodes=1) as c:
        path = os.path.join(c.dir, "c.yaml")
        for old, new, words in CONFIGURATIONS:
            assert old in GOOD
            with open(path, "w", encoding="utf-8") as f:
                f.write(GOOD.replace(old, new))
            the_line(serve(path, "--node", "1", "--data-dir", c.dir + "/data"), LOCAL, *words)
        with open(path, "w", encoding="utf-8") as f:
            f.write(GOOD)
        the_line(serve(path, "--node", "7"), LOCAL, "no member '7'", "1 (n1), 2 (n2)")
        the_line(serve(path), USAGE, "--node N", "1 (n1), 2 (n2)")
        the_line(serve(os.path.join(c.dir, "none.yaml")), LOCAL, "none.yaml", "No such file")
        the_line(serve(c.dir), LOCAL, "Is a directory")
        assert not os.path.exists(c.dir + "/data"), "a refused configuration left data"


# ---- Ports and directories

def test_port_in_use_is_told():
    with Cluster(nodes=1) as c:
        for port, word in ((c[1].client_port, "client"), (c[1].peer_port, "peers")):
            with socket.create_server(("127.0.0.1", port)):
                result = serve(c.config_path, "--init", "--data-dir", c[1].data_dir)
                the_line(result, LOCAL, word, f"127.0.0.1:{port}", "in use", "choose another port")
        c.start()  # the refused starts left nothing that is in the way
        c.put("a", "1")


def changed(c, old, new):
    """A copy of the configuration with other ports and this change."""
    with open(c.config_path, encoding="utf-8") as f:
        text = f.read()
    assert old in text
    path = os.path.join(c.dir, "changed.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))
    return path


def test_data_directory_of_another_is_refused():
    with Cluster(nodes=1, engine="multipaxos") as c:
        c.start()
        c.put("a", "1")
        data = ("--data-dir", c[1].data_dir)
        port = free_ports(1)[0]
        the_line(serve(changed(c, str(c[1].client_port), str(port)), *data), LOCAL,
                 "used by a running process", "stop that process")
        assert c.stop() == {1: 0}
        second = f'    - {{id: 2, peer: "127.0.0.1:{port}", client: "127.0.0.1:{port + 1}"}}\n'
        for old, new, node, words in (
                ("name: test", "name: other", 1, ("belongs to cluster", "another directory")),
                ("engine: multipaxos", "engine: raft", 1,
                 ("created with engine multipaxos", "says raft", "set engine: multipaxos")),
                ("{id: 1,", "{id: 2,", 2, ("belongs to node 1, this is node 2", "--data-dir")),
                ('"}\n', '"}\n' + second, 1, ("created for 1 members", "must stay"))):
            result = serve(changed(c, old, new), "--node", str(node), *data)
            the_line(result, LOCAL, c[1].data_dir, *words)
        c.start()
        assert c.get("a") == "1"


def test_data_directory_that_cannot_be_is_told():
    with Cluster(nodes=1) as c:
        for path in ("/proc/synod", c.config_path, c.config_path + "/below"):
            the_line(serve(c.config_path, "--init", "--data-dir", path), LOCAL, path, "--data-dir")


# ---- Requests that are too large

def test_oversized_request_is_refused_and_the_largest_is_kept():
    with Cluster(nodes=3) as c:
        c.start()
        largest = 3 * MIB // 2 - 64
        c.put("largest", b"x" * largest)
        for i in c.ids:
            assert len(c.get("largest", node=i)) == largest
        the_line(c.cli("put", "big", "-", stdin=b"x" * (3 * MIB // 2 + 1)), REFUSED,
                 "etcdserver: request is too large")
        the_line(c.cli("put", "big", "-", stdin=b"x" * (2 * MIB + 1)), REFUSED,
                 "received message larger than max", "2097152")
        assert c.get("big") is None
        if shutil.which("etcdctl"):
            check_etcdctl(c)
        c.wait_equal()


def check_etcdctl(c):
    for size, text in ((3 * MIB // 2 + 1, b"etcdserver: request is too large"),
                       (2 * MIB + 1, b"larger than max")):
        r = subprocess.run(["etcdctl", "--endpoints", c[1].endpoint, "put", "big"],
                           input=b"x" * size, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=PATIENCE, env={**os.environ, "ETCDCTL_API": "3"})
        assert r.returncode != 0 and text in r.stderr, r.stderr


# ---- Garbage on the ports

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(path):
    fields = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"),
              ("content-type", "application/grpc"), ("te", "trailers"))
    return b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode()
                    for n, v in fields)


def call(stream, body, path="/etcdserverpb.KV/Put"):
    return (frame(HEADERS, END_HEADERS, stream, headers(path)) +
            frame(DATA, END_STREAM, stream, body))


def message(body, size=None, compressed=0):
    return struct.pack(">BI", compressed, len(body) if size is None else size) + body


def put_request(key, value):
    return b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value


HELLO = PREFACE + frame(SETTINGS, 0, 0)


def client_garbage():
    noise = os.urandom(20000)
    yield noise
    yield b""
    yield PREFACE[:7]
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + noise[:500]  # a TLS ClientHello
    yield PREFACE + noise
    yield HELLO + noise
    yield HELLO + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"  # a frame of 16 MiB
    yield HELLO + frame(HEADERS, END_HEADERS, 1, noise[:300])  # does not decompress
    yield HELLO + frame(HEADERS, 0, 1, headers("/x")) + frame(DATA, 0, 1, noise[:100])
    yield HELLO + frame(DATA, END_STREAM, 7, noise[:100])  # a stream that is not open
    yield HELLO + frame(HEADERS, END_HEADERS, 2, headers("/x"))  # a stream of the server's
    yield HELLO + b"".join(frame(PING, 0, 0, b"12345678") for _ in range(20000))
    yield HELLO + b"".join(frame(SETTINGS, 0, 0) for _ in range(20000))
    # Rapid reset (CVE-2023-44487).
    yield HELLO + b"".join(
        frame(HEADERS, END_HEADERS, 2 * i + 1, headers("/etcdserverpb.KV/Range")) +
        frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8)) for i in range(5000))


def exchange(port, data):
    """Sends, then reads until the server closes or is silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
        try:
            s.sendall(data)
            s.settimeout(0.1)
            while True:
                more = s.recv(65536)
                if not more:
                    break
                answer += more
        except OSError:
            pass  # silent, or closed in our face: both legal
    return answer


def bad_calls(port):
    """Calls with bodies that are no requests, and at the end a good one, on one connection: each is
    answered, and the good one is done."""
    noise = os.urandom(300)
    bodies = [b"", b"\0", message(noise), message(b"\x0a\xff"), message(noise, size=1 << 31),
              message(noise, compressed=1), message(noise, compressed=7),
              message(put_request(b"g", b"v")) * 2, message(put_request(b"", b"v")), noise]
    paths = ["/etcdserverpb.KV/Put", "/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Range",
             "/etcdserverpb.Maintenance/Status", "/no.such/Method", "/"]
    calls = [(body, path) for path in paths for body in bodies]
    calls = [(b, p) for b, p in calls if (b, p) != (message(put_request(b"g", b"v")) * 2, paths[0])]
    calls.append((message(put_request(b"good", b"done")), paths[0]))
    open_streams = {2 * i + 1 for i in range(len(calls))}
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
        s.sendall(HELLO)
        for i, (body, path) in enumerate(calls):
            s.sendall(call(2 * i + 1, body, path))
        buffered = b""
        while open_streams:
            more = s.recv(65536)
            assert more, f"closed with {len(open_streams)} calls unanswered"
            buffered += more
            while len(buffered) >= 9:
                size = int.from_bytes(buffered[:3], "big")
                if len(buffered) < 9 + size:
                    break
                kind, flags, stream = struct.unpack(">BBI", buffered[3:9])
                buffered = buffered[9 + size:]
                if kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                    open_streams.discard(stream)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def peer_frame(body):
    size = struct.pack("<I", len(body))
    return size + struct.pack("<I", crc32c(size + body)) + body


def overhear(listener, size):
    """What a node sends to a peer that never answers: its hello and some messages, as frames."""
    listener.settimeout(PATIENCE)
    with listener.accept()[0] as s:
        s.settimeout(PATIENCE)
        data = b""
        while len(data) < size:
            more = s.recv(65536)
            if not more:
                break
            data += more
    frames = []
    while len(data) >= 8:
        end = 8 + struct.unpack("<I", data[:4])[0]
        if len(data) < end:
            break
        frames.append(data[:end])
        data = data[end:]
    return frames


def peer_garbage(frames):
    noise = os.urandom(20000)
    hello = frames[0]
    assert hello == peer_frame(hello[8:]), "this test computes the checksum otherwise"
    yield noise
    yield HELLO
    yield b"\xff\xff\xff\xff" + noise
    yield hello[:-1]
    yield hello[:-1] + bytes([hello[-1] ^ 1])
    yield peer_frame(b"")
    yield peer_frame(noise[:200])
    yield hello + noise
    yield hello + peer_frame(noise[:2000])
    yield hello + peer_frame(b"")
    yield hello + hello
    yield hello + b"".join(frames[1:])  # meant for another node
    yield hello + struct.pack("<II", 7 * MIB, 0) + noise  # never complete


def test_garbage_on_the_ports_harms_nobody():
    with Cluster(nodes=3, sections={"timing": {"election_ms": 300}}) as c:
        with socket.create_server(("127.0.0.1", c[3].peer_port)) as listener:
            c.start(1, 2)
            frames = overhear(listener, 2000)
        c.start(3)
        load = Load(c, "bystander", rate=500)
        try:
            load.wait_acknowledged(100)
            pids = [c[i].pid for i in c.ids]
            for i in (1, 2):
                for data in client_garbage():
                    exchange(c[i].client_port, data)
                for data in peer_garbage(frames):
                    exchange(c[i].peer_port, data)
                    exchange(c[i].client_port, data)
            for i in c.ids:
                bad_calls(c[i].client_port)
            load.wait_acknowledged(100)
            assert c.running() == c.ids and pids == [c[i].pid for i in c.ids]
            assert c.get("good") == "done" and c.get("g") is None
            assert not any(" ERROR " in n.log() for n in c.nodes.values())
            totals = load.stop()
            assert totals["unknown"] == totals["refused"] == totals["violations"] == 0, totals
            c.wait_equal()
        finally:
            load.kill()


# ---- Few open files

def start_with_files(c, count):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    n = c[1]
    with open(n.log_path, "ab") as log:
        n.process = subprocess.Popen(
            [SYNOD, "serve", "--config", c.config_path, "--data-dir", n.data_dir, "--init"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=limit)


def test_many_connections_do_not_take_the_files_of_the_store():
    """A node whose database cannot open its next file has to stop (D6); idle clients must not be
    able to bring that about."""
    small = {"log_write_buffer_bytes": 65536, "state_write_buffer_bytes": 65536}
    with Cluster(nodes=1, sections={"storage": small}) as c:
        start_with_files(c, 64)
        assert c[1].wait() == LOCAL
        assert "limit of open files is 64" in c[1].log() and "ulimit -n" in c[1].log()
        start_with_files(c, 128)
        c.wait_ready()
        load = Load(c, "few", rate=4000)
        idle = []
        try:
            load.wait_acknowledged(10)
            idle += [socket.create_connection(("127.0.0.1", c[1].client_port)) for _ in range(150)]
            idle += [socket.create_connection(("127.0.0.1", c[1].peer_port)) for _ in range(150)]
            wait_for(lambda: "further ones are refused" in c[1].log(), "connections to be refused")
            load.wait_acknowledged(3000)  # the log goes through several files
            assert len(os.listdir(c[1].data_dir + "/log")) > 6
        finally:
            for s in idle:
                s.close()
            load.stop()
        wait_for(lambda: c.cli("put", "k/few/again", "1").returncode == 0, "room for a new client")
        c.cli("del", "k/few/again")
        assert c[1].running()
        assert c.stop() == {1: 0}


run_cases(globals(), need=(SYNOD, LOAD))
