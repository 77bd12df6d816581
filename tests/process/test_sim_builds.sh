#!/usr/bin/env bash
# The simulator is a function of its seed (S1): the same seeds give the same traces twice, on one
# core and on several, and in another build: this one and the unoptimised one, which is built here.
# run-tests: timeout=600
set -u
cd "$(dirname "$0")/../.."
unset MAKEFLAGS MAKELEVEL MFLAGS SYNOD_SEED
SYNOD_SIM=${SYNOD_SIM:-$PWD/build/synod-sim}
seeds=20
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() {
  failed=$((failed + 1))
  printf 'failed: %s\n' "$1"
}

# The hashes of all traces of a sweep, one line an engine, into $work/NAME. The name, the program,
# and more flags.
hashes() {
  local name=$1 program=$2
  shift 2
  "$program" sweep --seeds "$seeds" --no-reach --quiet --json "$work/$name.json" "$@" \
    >"$work/$name.out" 2>&1
  if [ $? -gt 1 ]; then # red runs are for other tests
    bad "$name: $(tail -n 1 "$work/$name.out")"
    return 1
  fi
  grep -oE '"(engine|trace_hash)": ?"[a-z0-9]+"' "$work/$name.json" >"$work/$name"
}

# Where the traces of two programs part, to begin looking.
first_difference() {
  local engine seed
  for engine in raft multipaxos paxos; do
    for ((seed = 1; seed <= seeds; seed++)); do
      "$1" run "$engine:$seed" --trace "$work/a.jsonl" >"$work/a.out" 2>&1
      "$2" run "$engine:$seed" --trace "$work/b.jsonl" >"$work/b.out" 2>&1
      if ! cmp -s "$work/a.jsonl" "$work/b.jsonl"; then
        printf 'first difference in %s:%d, %s\n' "$engine" "$seed" \
          "$(cmp "$work/a.jsonl" "$work/b.jsonl" 2>&1 | grep -oE 'line [0-9]+')"
        diff "$work/a.jsonl" "$work/b.jsonl" | head -n 4
        return
      fi
    done
  done
  echo 'the traces that are written do not differ'
}

# same NAME1 PROGRAM1 NAME2 PROGRAM2
same() {
  if [ -s "$work/$1" ] && cmp -s "$work/$1" "$work/$3"; then
    ok
  else
    bad "the traces of $1 and $3 differ"
    first_difference "$2" "$4"
  fi
}

if ! hashes once "$SYNOD_SIM" --jobs 1; then
  echo "$passed passed, $failed failed"
  exit 1
fi
hashes again "$SYNOD_SIM" --jobs 3 && same once "$SYNOD_SIM" again "$SYNOD_SIM"

# Where nothing is laid out at random, addresses are others.
if command -v setarch >/dev/null; then
  printf '#!/bin/sh\nexec setarch -R "%s" "$@"\n' "$SYNOD_SIM" >"$work/fixed"
  chmod +x "$work/fixed"
  if "$work/fixed" --version >/dev/null 2>&1; then # a container may forbid it
    hashes fixed "$work/fixed" && same once "$SYNOD_SIM" fixed "$work/fixed"
  fi
fi

debug=$PWD/build/debug/synod-sim
if make -j"$(nproc)" --no-print-directory BUILD=debug build/debug/synod-sim >"$work/make.log" 2>&1; then
  hashes debug "$debug" && same once "$SYNOD_SIM" debug "$debug"
else
  bad "the unoptimised build: $(tail -n 3 "$work/make.log")"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
