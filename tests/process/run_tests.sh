#!/usr/bin/env bash
# The test runner tells passed from failed: it runs here over a tree of programs that end in every
# way a test can end.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
unset TEST_TIMEOUT SYNOD_SEED JOBS

# tree: an empty project. program NAME TEXT: a C test that is a script. script NAME TEXT.
tree() {
  rm -rf "$work/tree"
  mkdir -p "$work/tree/scripts" "$work/tree/tests/unit" "$work/tree/tests/process" \
    "$work/tree/build/release/tests/unit"
  cp "$root/scripts/run-tests" "$work/tree/scripts/"
}
program() {
  echo '/* */' >"$work/tree/tests/unit/$1.c"
  printf '#!/bin/sh\n%b\n' "$2" >"$work/tree/build/release/tests/unit/$1"
  chmod +x "$work/tree/build/release/tests/unit/$1"
}
script() {
  printf '#!/bin/sh\n%b\n' "$2" >"$work/tree/tests/process/$1"
  chmod +x "$work/tree/tests/process/$1"
}

# expect STATUS COUNTS [ARGUMENT...]: what the runner says of the tree.
expect() {
  local status=$1 counts=$2 output got
  shift 2
  output=$("$work/tree/scripts/run-tests" "$@" 2>&1)
  got=$?
  if [ "$got" -eq "$status" ] && [ "$(tail -n 1 <<<"$output")" = "$counts" ] &&
    [ "$(grep -cE '^[0-9]+ passed, [0-9]+ failed' <<<"$output")" -eq 1 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'failed: expected "%s" and exit status %d, got exit status %d:\n%s\n' \
      "$counts" "$status" "$got" "$output"
  fi
}

tree
expect 1 '0 passed, 0 failed' # nothing ran

program test_a 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b"'
expect 0 '2 passed, 0 failed'
expect 0 '2 passed, 0 failed' --only unit test_a
expect 1 '0 passed, 0 failed' --only unit test_b

program test_b 'echo 1..3; echo "ok 1 - a"; echo "not ok 2 - b"; echo "not ok 3 # SKIP c"; exit 1'
expect 1 '3 passed, 1 failed, 1 skipped'
program test_b 'echo 1..3; echo "ok 1 - a"; kill -ABRT $$' # two tests never reported
expect 1 '3 passed, 2 failed'
program test_b 'echo 1..3; echo "ok 1 - a"; exit 0'
expect 1 '3 passed, 2 failed'
program test_b 'echo 1..1; echo "ok 1 - a"; exit 1' # as when the sanitizer finds a leak at exit
expect 1 '3 passed, 1 failed'
program test_b 'exit 0' # no test in it
expect 1 '2 passed, 1 failed'
rm "$work/tree/build/release/tests/unit/test_b" # not built
expect 1 '2 passed, 1 failed'
rm "$work/tree/tests/unit/test_b.c"

script a.sh 'exit 0'
expect 0 '3 passed, 0 failed'
script a.sh 'echo "4 passed, 0 failed, 1 skipped"'
expect 0 '6 passed, 0 failed, 1 skipped'
script a.sh 'echo "4 passed, 2 failed"; exit 1'
expect 1 '6 passed, 2 failed'
script a.sh 'echo "4 passed, 0 failed"; exit 1'
expect 1 '6 passed, 1 failed'
script a.sh 'echo no etcdctl here; exit 77'
expect 0 '2 passed, 0 failed, 1 skipped'
script a.sh '# run-tests: timeout=1\nsleep 60'
expect 1 '2 passed, 1 failed'
script a.sh 'exit 1'
chmod -x "$work/tree/tests/process/a.sh" # a library of the scripts
expect 0 '2 passed, 0 failed'
script a.sh 'test "$SYNOD" = '"$work/tree/build/synod"
expect 0 '3 passed, 0 failed'

# The simulator: the cases of a scenario by its lines, a sweep is one case.
tree
mkdir -p "$work/tree/tests/fault" "$work/tree/tests/sim"
echo 'scenario 2' >"$work/tree/tests/fault/a.fault"
simulator() {
  printf '#!/bin/sh\n%b\n' "$1" >"$work/tree/build/synod-sim"
  chmod +x "$work/tree/build/synod-sim"
}
simulator 'echo "green  raft a"; echo "green  paxos a"'
expect 0 '2 passed, 0 failed' --only sim
simulator 'echo "green  raft a"; echo "RED    paxos a"; exit 1'
expect 1 '1 passed, 1 failed' --only sim
simulator 'exit 2' # it does not parse
expect 1 '0 passed, 1 failed' --only sim
rm -r "$work/tree/tests/fault"
echo '/* */' >"$work/tree/tests/sim/cmd_sweep.c"
simulator 'test "$1 $2 $4" = "sweep --seeds --reach" && echo "9 runs, 0 red in 1s"'
expect 0 '1 passed, 0 failed' --only sim
simulator 'echo "9 runs, 1 red in 1s"; exit 1'
expect 1 '0 passed, 1 failed' --only sim

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
