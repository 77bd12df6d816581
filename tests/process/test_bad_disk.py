#!/usr/bin/env python3
"""What disks do: files of a stopped node are damaged, cut or lost (D5, D8), the disk is full (K8,
D7) or read-only. A node either refuses to start, with one line that names the file or what is
missing, or serves what is right: every acknowledged write, on every node.
"""
# run-tests: timeout=600

import glob
import os
import re
import shutil
import subprocess

from acknowledged import LOAD, Load, check_cluster
from synod_cluster import LOCAL, SYNOD, Cluster, Skip, run_cases, wait_for

# Small buffers: write-ahead files and tables in both databases after little data.
SMALL = {"timing": {"election_ms": 300},
         "storage": {"log_write_buffer_bytes": 65536, "state_write_buffer_bytes": 65536}}
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT\S+ (ERROR|WARN|INFO|DEBUG) ")
VICTIM = 3
BLOCK_SIZE = 32768  # of LevelDB's write-ahead files


def last_words(node, *words):
    """The node ended by itself: one line that is no log line, with these words, and exit code 5."""
    code = node.wait()
    lines = [line for line in node.log().splitlines() if not LOG_LINE.match(line)]
    assert code == LOCAL and len(lines) == 1, (code, lines)
    for word in words:
        assert word in lines[0], f"'{word}' is not in: {lines[0]}"
    return lines[0]


class Image(Cluster):
    """A cluster that was killed at rest, as it is on disk; may be put back any number of times."""

    def __init__(self, engine, writes, sections):
        super().__init__(nodes=3, engine=engine, sections=sections)
        self.image = os.path.join(self.dir, "image")
        try:
            self._make(writes)
        except BaseException:
            self.close()
            raise

    def _make(self, writes):
        self.start()
        load = Load(self, "image", rate=4000)
        try:
            load.wait_acknowledged(writes)
            load.stop()
        finally:
            load.kill()
        check_cluster(self, least=writes)
        self.kill()
        shutil.copytree(os.path.join(self.dir, "data"), self.image)

    def put_back(self):
        self.kill()
        shutil.rmtree(os.path.join(self.dir, "data"))
        shutil.copytree(self.image, os.path.join(self.dir, "data"))
        for n in self.nodes.values():
            open(n.log_path, "wb").close()  # another life: its epochs are used again

    def try_start(self):
        """True when the victim serves; False when it refused to."""
        n = self[VICTIM]
        n.start("--no-init")
        wait_for(lambda: not n.running() or "serving clients" in n.log(), "the victim to decide")
        return "serving clients" in n.log()


# ---- Damage: functions of the bytes of a file; None: the file goes away

def flip(where):
    def change(data):
        at = min(int(len(data) * where), len(data) - 1)
        return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]
    return change


def zero(data):
    at = len(data) // 2
    return data[:at] + bytes(min(512, len(data) - at)) + data[at + 512:]


def cut(where):
    return lambda data: data[:int(len(data) * where)]


def cut_tail(data):
    return data[:-10]


def empty(data):
    return b""


def gone(data):
    return None


def garbage(data):
    return b"\xff" * len(data)


ANYWHERE = (flip(0.0), flip(0.21), flip(0.5), flip(0.77), zero, garbage, cut(0.5), cut_tail, empty,
            gone)
DAMAGES = {"*.log": ANYWHERE, "*.ldb": ANYWHERE,
           "MANIFEST-*": (flip(0.3), flip(0.9), garbage, cut(0.5), empty, gone),
           "CURRENT": (flip(0.5), garbage, cut(0.5), empty, gone)}
# Nothing a crash leaves looks like these: they must be refused. The others may pass, if what is
# then served is right.
CERTAIN = ("flip", "zero", "garbage", "gone")


def newest(c, database, pattern):
    """The newest file of that kind at the victim's that holds anything."""
    files = [f for f in glob.glob(os.path.join(c[VICTIM].data_dir, database, pattern))
             if os.path.getsize(f) > 0]
    assert files, f"the image has no {database}/{pattern}: write more"
    return max(files)


def change_file(path, change):
    with open(path, "rb") as f:
        data = change(f.read())
    if data is None:
        os.unlink(path)
    else:
        with open(path, "wb") as f:
            f.write(data)


def serve_rightly(c):
    """The victim runs; with the others, everything acknowledged is there on all of them."""
    c.start(*[i for i in c.ids if i != VICTIM])
    c.wait_ready(VICTIM)
    check_cluster(c)


def sweep(c):
    """Each kind of damage to each kind of file of both databases of one node; gives how many times
    it was refused, and what was served, rightly."""
    refused, served = 0, []
    for database in ("log", "state"):
        for pattern, changes in DAMAGES.items():
            for number, change in enumerate(changes):
                kind = change.__qualname__.split(".")[0]
                what = f"{kind} ({number}) of {database}/{pattern}"
                c.put_back()
                change_file(newest(c, database, pattern), change)
                try:
                    if c.try_start():
                        assert kind not in CERTAIN, "was not noticed"
                        serve_rightly(c)
                        served.append(what)
                    else:
                        last_words(c[VICTIM], c[VICTIM].data_dir)
                        refused += 1
                except AssertionError as e:
                    raise AssertionError(f"{what}: {e}") from e
    return refused, served


def test_damaged_files_are_refused_or_served_rightly():
    with Image("raft", 3000, SMALL) as c:
        refused, served = sweep(c)
        print(f"refused {refused} times; served, and right: {', '.join(served)}")
        assert refused > 40


# ---- What a crash leaves

def torn_header(data):
    return data + b"\x01\x02\x03"


def torn(data):
    """The beginning of a record that fills its block (LevelDB, doc/log_format.md)."""
    size = BLOCK_SIZE - len(data) % BLOCK_SIZE - 7
    if size < 200:
        return torn_header(data)
    return data + b"\x01\x02\x03\x04" + size.to_bytes(2, "little") + b"\x01" + os.urandom(100)


def zeros(data):
    """A file that was grown and not written."""
    return data + bytes(1000)


def crash_tails(engine):
    """D8: an incomplete record at the end was never acknowledged; the node starts without it. And a
    state that is behind the log is replayed; a log that lost its tail (a disk that lied about a
    sync) is filled by the other nodes, which have it."""
    # Large buffers: all of the state is in its write-ahead file, and may go back to nothing.
    with Image(engine, 1500, {"timing": SMALL["timing"]}) as c:
        for change in (torn, torn_header, zeros):
            c.put_back()
            for database in ("log", "state"):
                change_file(newest(c, database, "*.log"), change)
            assert c.try_start(), f"{change.__name__}: {c[VICTIM].log()}"
            serve_rightly(c)
        c.put_back()
        change_file(newest(c, "state", "*.log"), empty)
        assert c.try_start(), c[VICTIM].log()
        serve_rightly(c)
        c.put_back()
        change_file(newest(c, "state", "*.log"), empty)
        change_file(newest(c, "log", "*.log"), cut(0.9))
        assert c.try_start(), c[VICTIM].log()
        serve_rightly(c)


def test_raft_torn_and_lost_tails():
    crash_tails("raft")


def test_multipaxos_torn_and_lost_tails():
    crash_tails("multipaxos")


def test_paxos_torn_and_lost_tails():
    crash_tails("paxos")


# ---- Parts that are gone

def test_lost_parts_are_told():
    # The state's buffer is large: all of it is in its write-ahead file.
    sections = {"timing": SMALL["timing"], "limits": {"log_keep_entries": 64}}
    with Image("raft", 2000, sections) as c:
        data = c[VICTIM].data_dir
        for part, words in (("log", ("has a state database but no log", "promises")),
                            ("state", ("has a log but no state database", "from a copy")),
                            ("", ("has no data", "--init", "must not come back empty"))):  # D3
            c.put_back()
            shutil.rmtree(os.path.join(data, part))
            assert not c.try_start()
            last_words(c[VICTIM], data, *words)
            open(c[VICTIM].log_path, "wb").close()
            assert not c.try_start()  # nothing was made in its place
            last_words(c[VICTIM], data, *words)
        # A state from before the log was trimmed: what lies between is nowhere on this node.
        c.put_back()
        change_file(newest(c, "state", "*.log"), empty)
        assert not c.try_start(), "a state that the log does not reach was served"
        last_words(c[VICTIM], data, "log and state do not fit together")


def test_a_node_that_lost_its_data_does_not_come_back_empty():
    """D3: it would vote and promise again what it has forgotten."""
    with Cluster(nodes=3) as c:
        c.start()
        c.kill(3)
        c.put("acknowledged", "kept", node=1)
        c.kill(1, 2)
        shutil.rmtree(c[2].data_dir)
        c[2].start("--no-init")
        assert c[2].wait() == LOCAL
        last_words(c[2], c[2].data_dir, "has no data", "--init", "from a copy")
        assert not os.path.exists(c[2].data_dir), "something was made in its place"
        c.restart(1, 3)
        assert c.get("acknowledged", node=3) == "kept"


# ---- Full and read-only disks

class Disk:
    """A file system of its own for one node, in memory."""

    def __init__(self, c, node, size):
        if os.geteuid() != 0:
            raise Skip("needs root, to mount a file system")
        self.path = os.path.join(c.dir, "disk")
        self.size = size
        os.mkdir(self.path)
        result = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            raise Skip(f"mounting is not allowed here: {result.stdout.decode().strip()}")
        c[node].data_dir = os.path.join(self.path, c[node].name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)

    def remount(self, options):
        """False when it cannot be: what is on it is larger than it would become."""
        result = subprocess.run(["mount", "-o", f"remount,{options}", self.path],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return result.returncode == 0

    def leave(self, free):
        """Makes it so large that so many bytes are free; the node may be writing."""
        def shrink():
            stat = os.statvfs(self.path)
            used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
            return self.remount(f"size={used + free}")
        wait_for(shrink, "the disk to be shrunk", step=0)


def full_disk(engine):
    """K8, D6, D7: the node stops with the reason wherever the space ends, says so again while there
    is none, and catches up when there is; the others go on."""
    with Cluster(nodes=3, engine=engine, sections=SMALL) as c, Disk(c, VICTIM, "64m") as disk:
        c.start()
        load = Load(c, "full", rate=2000)
        try:
            load.wait_acknowledged(200)
            for free in (8192, 100000, 400000):
                disk.leave(free)
                wait_for(lambda: not c[VICTIM].running(), "the full disk to stop the node")
                last_words(c[VICTIM], disk.path, "no space left on the device")
                load.wait_acknowledged(200)
                open(c[VICTIM].log_path, "wb").close()
                disk.leave(0)
                c[VICTIM].start()
                last_words(c[VICTIM], disk.path, "No space left on device", "free space")
                assert disk.remount("size=64m")
                open(c[VICTIM].log_path, "wb").close()
                c.start(VICTIM)
            load.stop()
        finally:
            load.kill()
        check_cluster(c, least=800)
        c.kill()


def test_raft_full_disk():
    full_disk("raft")


def test_multipaxos_full_disk():
    full_disk("multipaxos")


def test_paxos_full_disk():
    full_disk("paxos")


def test_a_node_is_not_half_made_on_a_full_disk():
    with Cluster(nodes=1) as c, Disk(c, 1, "4k") as disk:
        for size in (4, 8, 12, 16, 24, 32):
            assert disk.remount(f"size={size}k")
            open(c[1].log_path, "wb").close()
            c[1].start("--init")
            wait_for(lambda: not c[1].running() or "serving clients" in c[1].log(), "the node")
            if c[1].running():
                break
            last_words(c[1], disk.path, "space")
        assert size > 4
        c[1].kill()
        assert disk.remount("size=4m")
        c[1].start("--init")
        c.wait_ready()
        c.put("a", "1")
        assert c.get("a") == "1"
        c.kill()


def test_read_only_disk_is_told():
    with Cluster(nodes=1) as c, Disk(c, 1, "4m") as disk:
        c.start()
        c.put("a", "1")
        assert c.stop() == {1: 0}
        assert disk.remount("ro")
        c[1].start()
        last_words(c[1], disk.path, "Read-only file system")
        assert disk.remount("rw")
        c.start()
        assert c.get("a") == "1"
        c.kill()


run_cases(globals(), need=(SYNOD, LOAD))
