#!/usr/bin/env python3
"""synod-sim compare and figures as they are used: the page, JSON and CSV; controls that must be red (S5);
wrong usage; and a smoke set of scripts on real processes, every engine."""
# run-tests: timeout=900

import csv
import html.parser
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
ENGINES = ["paxos", "multipaxos", "raft"]
GREEN, RED, USAGE, INTERRUPTED = 0, 1, 2, 130
SHORT = """# A short one: the leader is cut off and comes back.
scenario 2
nodes 3
length 5s
option election 300ms
option heartbeat 30ms
clients 6 keys 4 rate 100 timeout 1s retry 50%
at 2s isolate leader for 1s
"""
# The same with reads that ask no quorum: stale ones must be found.
CONTROL = (SHORT.replace("retry 50%", "retry 50% reads local").replace("keys 4", "keys 2")
           .replace("length 5s", "length 10s").replace("for 1s", "for 4s").replace("6 rate 100", "12 rate 200")
           + "mix put 2 get 4\nexpect red K1\n")

work = tempfile.mkdtemp()


def path(name):
    return os.path.join(work, name)


def script(name, text):
    with open(path(name), "w", encoding="utf-8") as f:
        f.write(text)
    return path(name)


def sim(*args, timeout=800):
    return subprocess.run([SIM, *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          cwd=work)


def expect(result, code, out=None, err=None):
    said = (result.args, result.returncode, result.stdout[-3000:], result.stderr[-1500:])
    assert result.returncode == code, said
    if out is not None:
        assert re.search(out, result.stdout), (out, said)
    if err is not None:
        assert re.search(err, result.stderr), (err, said)
        assert result.stderr.count("\n") == 1, said  # one clear line
    return result


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


class Page(html.parser.HTMLParser):
    """Counts what is in a page, and what it asks of the network."""

    def __init__(self, text):
        super().__init__()
        self.tags = {}
        self.links = []
        self.ids = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        for name, value in attrs:
            if name == "id":
                assert value not in self.ids, f"id {value} twice"
                self.ids.add(value)
            if name in ("src", "href") and value:
                self.links.append(value)


def check_page(name, sections):
    with open(path(name), encoding="utf-8") as f:
        text = f.read()
    page = Page(text)
    assert page.tags.get("h1") == 1, page.tags
    assert page.tags.get("svg", 0) > 0 and page.tags.get("table", 0) > 0, page.tags
    assert page.tags.get("script", 0) == 0, "a script in the page"
    for link in page.links:
        assert link.startswith("data:") or (link[0] == "#" and link[1:] in page.ids), link
    assert "@import" not in text and "url(http" not in text
    for section in sections:
        assert section in page.ids, (section, page.ids)
    return text


# ---- In the simulator

def test_compare_writes_page_json_and_csv_that_agree():
    file = script("short.fault", SHORT)
    expect(sim("compare", file, "--trials", "5", "-o", path("a")), GREEN, "3 of 3 cells as expected")
    check_page("a.html", ["short"])
    with open(path("a.json"), encoding="utf-8") as f:
        data = json.load(f)
    cells = data["scripts"][0]["engines"]
    assert [c["engine"] for c in cells] == ENGINES, cells
    with open(path("a.csv"), encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == 15
    for cell in cells:
        mine = [r for r in rows if r["engine"] == cell["engine"]]
        assert [r["verdict"] for r in mine] == ["green"] * 5
        for word in ("ok", "gap_us", "messages_per_op"):
            samples = cell["measures"][word]["samples"]
            assert [float(r[word]) for r in mine] == samples, (word, samples)
            assert sorted(samples)[2] == cell["measures"][word]["median"]
        assert cell["measures"]["lost"]["max"] == 0 and cell["measures"]["duplicated"]["max"] == 0
        assert [cell[k] for k in ("trials", "skipped", "died", "red", "undecided")] == [5, 0, 0, 0, 0], cell
        assert cell["measures"]["ok"]["min"] > 200, cell["measures"]["ok"]
        assert cell["measures"]["rounds_per_commit"]["median"] > 0


def test_compare_same_seeds_give_the_same_bytes():
    file = script("short.fault", SHORT)
    for name in ("b", "c"):
        expect(sim("compare", file, "--trials", "4", "--seed", "77", "-o", path(name)), GREEN)
    for ending in ("csv", "json", "html"):
        with open(path(f"b.{ending}"), "rb") as one, open(path(f"c.{ending}"), "rb") as two:
            assert one.read() == two.read(), ending


def test_compare_replay_command_is_the_same_run():
    file = script("short.fault", SHORT)
    expect(sim("compare", file, "--trials", "3", "--engine", "raft", "-o", path("d")), GREEN)
    with open(path("d.json"), encoding="utf-8") as f:
        cell = json.load(f)["scripts"][0]["engines"][0]
    words = cell["replay"].split()
    assert words[1] == "compare", words
    expect(sim(*words[1:]), GREEN)
    words.remove("--no-output")  # what is there is not written over
    expect(sim(*words[1:], "-o", path("e")), GREEN)
    with open(path("e.json"), encoding="utf-8") as f:
        again = json.load(f)["scripts"][0]["engines"][0]
    assert again["measures"] == cell["measures"]


def test_control_without_quorum_reads_is_red():
    """S5: the check bites. What is red as expected is a success, what is not is a failure."""
    expect(sim("compare", script("control.fault", CONTROL), "--no-output", "--trials", "3"), GREEN,
           "red as expected 3/3")
    honest = CONTROL.replace(" reads local", "")
    r = expect(sim("compare", script("honest.fault", honest), "--no-output", "--trials", "3"), RED,
               "not red as expected")
    assert "synod-sim run --scenario" in r.stdout, r.stdout
    r = expect(sim("compare", script("stale.fault", CONTROL.replace("expect red K1\n", "")),
                   "--no-output", "--trials", "2"), RED, r"raft +RED 2/2 \(K1, seed 1\)")
    replay = re.search(r"run --scenario \S+ --engine raft --seed 1", r.stdout).group(0).split()
    expect(sim(*replay), RED)


def test_what_never_happened_is_told():
    """S4: a fault that was not one, and a comparison that compared nothing."""
    file = script("never.fault", SHORT + "when commit 1000000 crash 2\n")
    expect(sim("compare", file, "--no-output", "--trials", "2"), GREEN,
           r"raft +green 2/2; in 2 never: when commit 1000000 crash 2")
    file = script("jump.fault", SHORT + "at 1s clock 2 jump 1s\n")
    expect(sim("compare", "--real", file, "--no-output", "--trials", "1"), RED,
           "0 of 3 cells as expected, 3 skipped; nothing was run")


def test_library_has_at_least_thirty_scripts():
    names = [line for line in expect(sim("compare", "--list"), GREEN).stdout.splitlines()
             if not line.startswith(" ")]
    assert len(names) >= 30, names
    assert names == sorted(names)


def test_wrong_usage_is_one_line():
    file = script("short.fault", SHORT)
    expect(sim("compare", "no-such-script"), USAGE, "^$", "no-such-script: there is no such file")
    expect(sim("compare", "isolate-leadr"), USAGE, "^$", "did you mean isolate-leader")
    expect(sim("compare", file, file), USAGE, "^$", "short is given twice")
    expect(sim("compare", file, "--trials", "0"), USAGE, "^$", "--trials 0")
    expect(sim("compare", file, "--engine", "zab"), USAGE, "^$", 'unknown engine "zab"')
    expect(sim("compare", file, "--netns"), USAGE, "^$", "add --real")
    expect(sim("compare", file, "-o", "/no/such/place/x"), USAGE, "^$", "cannot write")
    expect(sim("compare", file, "-o", ""), USAGE, "^$", "--output needs a name")
    expect(sim("compare", work), USAGE, "^$", "is a folder; name the scripts in it")
    bad = script("bad.fault", "scenario 2\nat 1s craash 2\n")
    expect(sim("compare", bad), USAGE, "^$", r"bad\.fault: line 2: `craash`: unknown fault; one of ")
    expect(sim("figures", "e99"), USAGE, "^$", "e99: there is no such figure; there are e1 ")
    expect(sim("figures", "e1", "-o", ""), USAGE, "^$", "--output needs a name")
    expect(sim("figures", "e1", "e1"), USAGE, "^$", "given twice")
    expect(sim("figures", "e1", "--seed", "raft:1"), USAGE, "^$", "a figure has all")


def test_interrupted_comparison_says_what_was_done():
    process = subprocess.Popen([SIM, "compare", "--trials", "1000", "-o", path("f")], cwd=work,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stderr.readline()  # the first line of progress
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, (process.returncode, out[-500:])
    assert re.search(r"cells as expected, \d+ skipped; interrupted", out), out[-500:]
    with open(path("f.csv"), encoding="utf-8", newline="") as f:
        verdicts = {row["verdict"] for row in csv.DictReader(f)}
    assert "skipped" in verdicts and "died" not in verdicts and "died" not in out, (verdicts, out[-500:])
    check_page("f.html", [])


# ---- Figures

def test_figures_quick_are_made():
    expect(sim("figures", "e4", "e10", "--quick", "-o", path("g")), GREEN, "checks, 0 failed")
    check_page("g.html", ["e4", "e10"])


# ---- On real processes

def real(*args):
    result = sim("compare", "--real", *args)
    assert result.returncode in (GREEN, RED), (result.stdout[-3000:], result.stderr[-2000:])
    return result


def safety_of(name):
    """A script of the library without what it expects of time: this machine may have other things to do."""
    with open(os.path.join(ROOT, "tests", "fault", name + ".fault"), encoding="utf-8") as f:
        return script(name + ".fault", re.sub("^expect available.*$", "", f.read(), flags=re.M))


def test_real_smoke_set_is_safe_on_every_engine():
    names = ["crash-leader", "isolate-leader"]
    expect(real(*map(safety_of, names), "--trials", "1", "-o", path("h")), GREEN,
           "6 of 6 cells as expected")
    check_page("h.html", names)
    with open(path("h.json"), encoding="utf-8") as f:
        data = json.load(f)
    assert data["back_end"] == "processes"
    for one in data["scripts"]:
        for cell in one["engines"]:
            m = cell["measures"]
            assert m["ok"]["median"] > 100, (one["name"], cell["engine"], m["ok"])
            assert m["lost"]["max"] == 0 and m["duplicated"]["max"] == 0
            assert m["messages_per_op"]["median"] > 1
            assert m["syncs_per_commit"]["median"] > 1, m["syncs_per_commit"]


def test_real_script_that_cannot_be_run_has_no_numbers():
    file = script("clock.fault", SHORT + "at 1s clock 2 jump 1s\n")
    expect(real(file, "--engine", "raft", "--trials", "1", "-o", path("i")), RED, "nothing was run")
    with open(path("i.csv"), encoding="utf-8", newline="") as f:
        row = next(csv.DictReader(f))
    assert row["verdict"] == "skipped", row
    assert (row["as_expected"], row["ok"], row["down_us"], row["gap_us"]) == ("", "", "", ""), row


def test_interrupted_real_run_leaves_nothing_behind():
    os.mkdir(path("tmp"))
    process = subprocess.Popen([SIM, "compare", "--real", "crash-leader", "--engine", "raft", "--no-output"],
                               cwd=work, env={**os.environ, "TMPDIR": path("tmp")},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: any("log" in folders for _, folders, _ in os.walk(path("tmp"))))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == INTERRUPTED, process.returncode
    wait_until(lambda: os.listdir(path("tmp")) == [])


def test_real_control_without_quorum_reads_is_red():
    expect(real(script("control.fault", CONTROL), "--trials", "1", "--no-output"), GREEN,
           "red as expected 1/1")


def main():
    cases = [(name, f) for name, f in globals().items() if name.startswith("test_")]
    passed = failed = 0
    for name, case in cases:
        if len(sys.argv) > 1 and sys.argv[1] not in name:
            continue
        try:
            case()
            passed += 1
            print(f"ok {name}", flush=True)
        except Exception as e:  # every failure is told, the next case runs
            failed += 1
            print(f"not ok {name}: {e!r}"[:6000], flush=True)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
