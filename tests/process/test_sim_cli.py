#!/usr/bin/env python3
"""synod-sim as it is used: exit codes, wrong usage, red runs and how they are told (S5), crashes and
hangs, Ctrl-C, resuming, shrinking, pictures."""
# run-tests: timeout=900

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SIM = os.environ.get("SYNOD_SIM", os.path.join(ROOT, "build/synod-sim"))
GREEN, RED, USAGE, INTERRUPTED = 0, 1, 2, 130
COMMANDS = ["run", "sweep", "shrink", "show", "bench", "check", "explore"]

# Two of three nodes are away for a while, and a write is expected all the same: red without a bug.
ALWAYS_RED = """scenario 2
engine raft
nodes 3
seed 5
length 8s
mode safety
clients 3 keys 2 think 1ms..50ms timeout 1s
at 2s isolate 1
at 2.5s pause 2 for 3s
at 3s clock 3 drift 100ppm
at 6s heal
expect gap 1
"""

work = tempfile.mkdtemp()


def path(name):
    return os.path.join(work, name)


def sim(*args, timeout=300):
    return subprocess.run([SIM, *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          cwd=work)


def expect(result, code, out=None, err=None):
    said = (result.args, result.returncode, result.stdout[-1500:], result.stderr[-1500:])
    assert result.returncode == code, said
    if out is not None:
        assert re.search(out, result.stdout), (out, said)
    if err is not None:
        assert re.search(err, result.stderr), (err, said)
        assert result.stderr.count("\n") == 1, said  # one clear line
    return result


def red_file():
    with open(path("red.scenario"), "w", encoding="utf-8") as f:
        f.write(ALWAYS_RED)
    return path("red.scenario")


# ---- Usage

def test_help_and_version():
    overview = expect(sim("--help"), GREEN, "Usage: synod-sim").stdout
    expect(sim("--version"), GREEN, r"^synod-sim \d+\.\d+\.\d+ [0-9a-f]{12}\n$")
    for command in COMMANDS:
        if f"\n  {command} " in overview:
            expect(sim(command, "--help"), GREEN, f"Usage: synod-sim {command}")
    assert "\n  sweep " in overview


def test_wrong_usage_is_one_line():
    expect(sim(), USAGE, "^$", "no command")
    expect(sim("swep"), USAGE, "^$", 'did you mean "sweep"')
    expect(sim("run"), USAGE, "^$", "SEED like raft:42")
    expect(sim("run", "--seed", "5"), USAGE, "^$", "--engine ENGINE is missing")
    expect(sim("run", "raft:x"), USAGE, "^$", 'bad seed "raft:x".*ENGINE:NUMBER')
    expect(sim("run", "raft:-1"), USAGE, "^$", 'bad seed "raft:-1"')
    expect(sim("run", "raft:18446744073709551616"), USAGE, "^$", "bad seed")
    expect(sim("run", "rafd:1"), USAGE, "^$", 'unknown engine "rafd"; one of .*raft')
    expect(sim("run", "--engine", "paxos", "raft:1"), USAGE, "^$", "contradict")
    expect(sim("run", "raft:1", "raft:2"), USAGE, "^$", 'unexpected "raft:2"')
    expect(sim("run", "raft:1", "--nodes", "9"), USAGE, "^$", "--nodes 9: a cluster has 1 to 7")
    expect(sim("run", "raft:1", "--nodes", "0"), USAGE, "^$", "--nodes 0")
    expect(sim("run", "raft:1", "--mode", "fast"), USAGE, "^$", "safety.*liveness")
    expect(sim("run", "raft:1", "--trace", "/no/such/place"), USAGE, "^$", "cannot write")
    expect(sim("run", "raft:1", "--frobnicate"), USAGE, "^$", "frobnicate")
    expect(sim("sweep", "--engine", "raft,raft"), USAGE, "^$", "twice")
    expect(sim("sweep", "--engine", "raft,zab"), USAGE, "^$", 'unknown engine "zab"')
    expect(sim("sweep", "--jobs", "0"), USAGE, "^$", "--jobs 0")
    expect(sim("sweep", "--from", "raft:1"), USAGE, "^$", "--engine raft")
    expect(sim("sweep", "5"), USAGE, "^$", 'unexpected "5"')
    expect(sim("show", "raft:1", "--max", "0"), USAGE, "^$", "--max 0")
    expect(sim("show", "raft:1", "--from", "soon"), USAGE, "^$", 'bad time "soon"')
    expect(sim("show", "raft:1", "--from", "2s", "--to", "1s"), USAGE, "^$", "not after")
    expect(sim("bench", "--length", "1ms"), USAGE, "^$", "--length 1ms")


def test_what_contradicts_itself_is_refused():
    with open(path("kept"), "w", encoding="utf-8") as f:
        f.write("kept\n")
    for flag in (["--trace", path("kept")], ["--history", path("kept")], ["-q"]):
        expect(sim("run", "raft:1", "--print", *flag), USAGE, "^$", "--print runs nothing")
    with open(path("kept"), encoding="utf-8") as f:
        assert f.read() == "kept\n"
    expect(sim("sweep", "--reach", "--no-reach"), USAGE, "^$", "contradict")
    expect(sim("sweep", "--seeds", "99999999999999999999"), USAGE, "^$", r"from 1 to \d+\n")
    expect(sim("explore", "--states-max", "0"), USAGE, "^$", "--states-max 0: at least 1")
    expect(sim("show", "raft:3", "--from", "900s"), USAGE, "^$", r"the run ends at \d+\.\d{3} s")


def test_help_of_a_command_fits_a_terminal():
    for command in COMMANDS:
        text = expect(sim(command, "--help"), GREEN).stdout
        assert sim("help", command).stdout == text, command
        assert max(map(len, text.splitlines())) < 80, command
    expect(sim("help", "rnu"), USAGE, "^$", 'did you mean "run"')


# What was not written must not look as if it had been.
def test_output_that_cannot_be_written_is_an_error():
    for flag in ("--trace", "--history"):
        for more in ([], ["--no-fork"]):
            r = sim("run", "raft:3", "-q", flag, "/dev/full", *more)
            assert r.returncode == USAGE and "/dev/full: cannot write: No space" in r.stderr, r
    for args in (["--help"], ["--version"], ["run", "raft:3"], ["run", "raft:3", "--print"],
                 ["show", "raft:3"], ["sweep", "--seeds", "1", "-q"], ["run", "--help"]):
        with open("/dev/full", "w", encoding="ascii") as full:
            r = subprocess.run([SIM, *args], stdout=full, stderr=subprocess.PIPE, text=True,
                               timeout=300, check=False)
        assert r.returncode == USAGE and "cannot write to the standard output" in r.stderr, (args, r)
    # A reader that has enough is no error.
    p = subprocess.Popen([SIM, "show", "raft:3", "--max", "5000"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    p.stdout.close()
    _, err = p.communicate(timeout=300)
    assert p.returncode == GREEN and err == b"", (p.returncode, err)


def test_files_of_a_sweep_are_tried_before_the_first_run():
    begin = time.monotonic()
    long = ("sweep", "--no-reach", "-q", "--seeds", 100000)
    expect(sim(*long, "--json", work), USAGE, "^$", "cannot write: Is a directory")
    expect(sim(*long, "--resume", work), USAGE, "^$", "Is a directory; name another file")
    expect(sim(*long, "--resume", "/no/such"), USAGE, "^$", r"/no/such: cannot write: No such file")
    assert time.monotonic() - begin < 20


def test_a_scenario_that_does_not_parse():
    expect(sim("run", "--scenario", work), USAGE, "^$", f"run: {work}: Is a directory\n")
    expect(sim("run", "--scenario", path("none")), USAGE, "^$", "none")
    with open(path("bad"), "w", encoding="utf-8") as f:
        f.write("scenario 2\nengine raft\nnodes 3\nat 1s craash leader\n")
    expect(sim("run", "--scenario", path("bad")), USAGE, "^$", r"run: \S*bad: line 4.*craash")
    expect(sim("show", "--scenario", path("bad")), USAGE, "^$", "line 4")
    expect(sim("shrink", "--scenario", path("bad")), USAGE, "^$", "line 4")
    expect(sim("run", "--scenario", red_file(), "--engine", "paxos"), USAGE, "^$",
           "is for engine raft")
    expect(sim("run", "--scenario", red_file(), "--nodes", "3"), USAGE, "^$", "is in its file")


# ---- Runs

def test_a_run_is_the_same_again():
    first = sim("run", "raft:3")
    again = sim("run", "--engine", "raft", "--seed", "3")
    assert first.stdout == again.stdout and first.returncode == again.returncode, first.stdout
    assert re.search("trace hash [0-9a-f]{16}", first.stdout), first.stdout
    assert sim("run", "raft:4").stdout != first.stdout
    here = sim("run", "raft:3", "--no-fork")
    assert here.stdout == first.stdout, here.stdout


def test_the_scenario_of_a_seed_runs_from_its_file():
    printed = expect(sim("run", "multipaxos:3", "--print"), GREEN, "^scenario 2\n")
    with open(path("printed"), "w", encoding="utf-8") as f:
        f.write(printed.stdout)
    hashes = [re.search("trace hash (.*)", sim("run", *a).stdout).group(1)
              for a in (["multipaxos:3"], ["--scenario", path("printed")])]
    assert hashes[0] == hashes[1], hashes


def test_trace_and_history_are_lines_of_json():
    expect(sim("run", "paxos:2", "--trace", path("t"), "--history", path("h"), "-q"), GREEN,
           "^green  paxos:2 ")
    with open(path("t"), encoding="utf-8") as f:
        events = [json.loads(line) for line in f]
    assert len(events) > 100 and {"t", "node", "engine", "event"} <= set(events[50]), events[50]
    assert [e["t"] for e in events] == sorted(e["t"] for e in events)
    with open(path("h"), encoding="utf-8") as f:
        calls = [json.loads(line) for line in f]
    assert len(calls) > 10 and {"client", "op", "call_ns"} <= set(calls[5]), calls[5]


def test_a_scenario_for_any_engine_runs_with_each():
    with open(path("any"), "w", encoding="utf-8") as f:
        f.write("scenario 2\nengine any\nnodes 3\nseed 1\nlength 2s\nmode safety\n")
    said = expect(sim("run", "--scenario", path("any"), "-q"), GREEN).stdout
    assert sorted(re.findall(r"^green  (\w+)", said, re.M)) == ["multipaxos", "paxos", "raft"], said
    expect(sim("run", "--scenario", path("any"), "-q", "--engine", "paxos"), GREEN,
           r"^green  paxos .*\n$")
    expect(sim("run", "--scenario", path("any"), "--trace", path("t")), USAGE, "^$", "--engine")


# ---- Red

def test_a_red_run_tells_all_that_is_needed_to_see_it_again():
    said = expect(sim("run", "--scenario", red_file()), RED).stdout
    for what in (r"^RED    raft ", r"property  R11", r"at        \d+\.\d{6} s", r"seed      5\n",
                 r"build     \d\S+ [0-9a-f]{12}\n"):
        assert re.search(what, said, re.M), (what, said)
    command = re.search(r"^  again     (.*)$", said, re.M).group(1)
    again = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=300,
                           cwd=work)
    assert again.returncode == RED and again.stdout == said, again.stdout


def test_a_red_scenario_is_shrunk():
    said = expect(sim("shrink", "--scenario", red_file(), "-o", path("small"), "--tries", 300),
                  GREEN)
    assert re.search(r"became \d nodes, \d+ steps", said.stderr), said.stderr
    with open(path("small"), encoding="utf-8") as f:
        small = f.read()
    assert small.startswith("# R11: "), small
    assert small.count("\nat ") < ALWAYS_RED.count("\nat "), small
    assert "drift" not in small, small  # had nothing to do with it
    expect(sim("run", "--scenario", path("small")), RED, "property  R11")


def test_a_green_run_is_not_shrunk():
    expect(sim("shrink", "raft:3"), USAGE, "^$", "green")


# ---- Sweeps

def sweep(*args, code=GREEN, out=None):
    return expect(sim("sweep", "--no-reach", "--json", path("json"), *args), code, out)


def numbers():
    with open(path("json"), encoding="utf-8") as f:
        return json.load(f)


def test_a_sweep_counts_what_happened():
    sweep("--seeds", 4, "--engine", "raft,paxos", "--mode", "safety", out="What happened\n")
    got = numbers()
    assert [e["engine"] for e in got["engines"]] == ["raft", "paxos"], got
    assert got["runs"] == 8 and all(e["runs"] == 4 for e in got["engines"]), got
    assert all(e["counts"]["events"] > 100 for e in got["engines"]), got
    assert len({e["trace_hash"] for e in got["engines"]}) == 2, got


def test_the_same_sweep_by_one_or_by_many():
    hashes = []
    for jobs in (1, 3):
        sweep("--seeds", 4, "--jobs", jobs, "-q")
        hashes.append([e["trace_hash"] for e in numbers()["engines"]])
    assert hashes[0] == hashes[1], hashes


def test_what_was_never_reached_is_red():
    expect(sim("sweep", "--seeds", 1, "--engine", "raft", "--reach"), RED,
           "never (reached|happened)")


def test_an_interrupted_sweep_ends_tidily_and_goes_on():
    file = path("resume")
    args = [SIM, "sweep", "--no-reach", "--engine", "raft", "--resume", file]
    p = subprocess.Popen([*args, "--seeds", "100000"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    time.sleep(4)
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=60)
    assert p.returncode in (INTERRUPTED, RED), (p.returncode, out)
    assert "interrupted; go on with --resume" in out and "What happened" in out, out
    done = int(re.search(r"^(\d+) runs", out, re.M).group(1))
    assert done > 0, out
    r = sim("sweep", "--no-reach", "--engine", "raft", "--resume", file, "--seeds", done + 5,
            "--json", path("json"), "-q")
    assert r.returncode in (GREEN, RED), r
    got = numbers()["engines"][0]
    assert got["runs"] == done + 5, (got["runs"], done)
    # What was done in two parts is what is done at once.
    r = sim("sweep", "--no-reach", "--engine", "raft", "--seeds", done + 5, "--json", path("json"),
            "-q")
    whole = numbers()["engines"][0]
    assert whole["trace_hash"] == got["trace_hash"], (whole["trace_hash"], got["trace_hash"])
    assert whole["counts"] == got["counts"] and whole["marks"] == got["marks"]


def test_a_resume_file_of_another_sweep_is_refused():
    file = path("other")
    base = ("sweep", "--no-reach", "-q", "--resume", file, "--seeds", 2)
    sim(*base, "--engine", "paxos")
    expect(sim(*base, "--engine", "raft"), USAGE, "^$", "is of another sweep")
    expect(sim(*base, "--engine", "paxos", "--nodes", 3), USAGE, "^$", "is of another sweep")
    with open(file, encoding="utf-8") as f:
        text = f.read()
    for name, change, err in (
            ("build", re.sub(r"(?m)^build .*", "build 0.0.0 000000000000", text), "another sweep"),
            ("cut", text[: len(text) // 2].rsplit("\n", 1)[0] + "\n", "no \"end\""),
            ("noise", text.replace("low", "lww"), "line 4"),
            ("none", "hello\n", "not a file of --resume")):
        with open(file, "w", encoding="utf-8") as f:
            f.write(change)
        r = sim(*base, "--engine", "paxos")
        assert r.returncode == USAGE and re.search(err, r.stderr), (name, r)


# The product has no seed that crashes or hangs to offer, so the signal comes from outside.
def test_a_run_that_is_killed_is_red_and_the_sweep_goes_on():
    p = subprocess.Popen([SIM, "sweep", "--no-reach", "--engine", "raft", "--seeds", "40",
                          "--jobs", "1", "--json", path("json")],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    killed = False
    deadline = time.monotonic() + 60
    while not killed and time.monotonic() < deadline and p.poll() is None:
        for child in children(p.pid):
            try:
                os.kill(child, signal.SIGKILL)
                killed = True
                break
            except ProcessLookupError:
                pass
    out, _ = p.communicate(timeout=300)
    assert killed and p.returncode == RED, out
    assert re.search(r"raft:\d+  -  at 0.000000 s: the process died by SIGKILL", out), out
    assert numbers()["runs"] == 40, out


def children(pid):
    """Those that run; /proc/PID/task/PID/children is not in every kernel."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8") as f:
                state, parent = f.read().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(name))
    return found


def runs(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# SIGKILL leaves no time to write anything, so it must have been written before.
def test_a_sweep_that_is_killed_leaves_its_file_and_no_process():
    p = subprocess.Popen([SIM, "sweep", "--no-reach", "-q", "--engine", "raft", "--seeds", "100000",
                          "--resume", path("killed")], stdout=subprocess.DEVNULL)
    time.sleep(4)
    left = []
    deadline = time.monotonic() + 30
    while not left and time.monotonic() < deadline:
        left = children(p.pid)
    p.kill()
    p.wait(timeout=60)
    deadline = time.monotonic() + 30
    while any(map(runs, left)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left and not any(map(runs, left)), left
    with open(path("killed"), encoding="utf-8") as f:
        text = f.read()
    assert int(re.search(r"(?m)^elapsed (\d+)", text).group(1)) > 1000000, text
    assert text.endswith("\nend\n"), text


def test_a_run_that_hangs_is_red():
    p = subprocess.Popen([SIM, "sweep", "--no-reach", "--engine", "raft", "--seeds", "10",
                          "--jobs", "1", "--run-limit", "2"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stopped = None
    deadline = time.monotonic() + 60
    while stopped is None and time.monotonic() < deadline and p.poll() is None:
        for child in children(p.pid):
            try:
                os.kill(child, signal.SIGSTOP)
                stopped = child
                break
            except ProcessLookupError:
                pass
    out, _ = p.communicate(timeout=300)
    assert stopped is not None and p.returncode == RED, out
    assert "no end after 2 s of real time" in out, out


# ---- Pictures

def test_a_picture_as_text_and_html():
    text = expect(sim("show", "raft:3"), GREEN, "^raft:3: ").stdout
    assert len(text.splitlines()) > 20, text
    expect(sim("show", "raft:3", "--html", path("a.html"), "--max", 50), GREEN, "^$")
    with open(path("a.html"), encoding="utf-8") as f:
        html = f.read()
    assert html.startswith("<!DOCTYPE html>") and html.rstrip().endswith("</html>")
    assert "<script" not in html and "http" not in html
    some = expect(sim("show", "raft:3", "--from", "1s", "--to", "2s", "--max", 5000), GREEN).stdout
    times = [float(t) for t in re.findall(r"(?m)^ +(\d+\.\d{6}) ", some)]
    assert times and min(times) >= 1 and max(times) <= 2, (times[:3], times[-3:])


def test_a_picture_of_a_red_run_ends_with_the_violation():
    said = expect(sim("show", "--scenario", red_file(), "--html", path("r.html"), "--text"), GREEN)
    assert "==== R11: " in said.stdout, said.stdout[-500:]
    with open(path("r.html"), encoding="utf-8") as f:
        assert "R11 violated here" in f.read()


def test_the_speed_is_measured():
    said = expect(sim("bench", "--length", "5s"), GREEN).stdout
    assert len(re.findall(r"^(raft|multipaxos|paxos) +(calm|faults) ", said, re.M)) == 6, said


def main():
    passed = failed = 0
    only = sys.argv[1:]
    for name, case in sorted(globals().items()):
        if not name.startswith("test_") or (only and not any(o in name for o in only)):
            continue
        try:
            case()
            passed += 1
        except Exception as error:  # noqa: BLE001: a case may fail in any way
            failed += 1
            print(f"failed: {name}: {type(error).__name__}: {error}", flush=True)
    shutil.rmtree(work)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
