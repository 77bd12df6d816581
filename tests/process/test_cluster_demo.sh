#!/usr/bin/env bash
# What `make cluster` and `make cluster-down` do (scripts/cluster-demo), with every engine: up in the
# background, used again, a node killed, down; and in the foreground, ended by a signal. It uses the
# ports everybody uses, and skips itself when one of them is taken.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
export SYNOD=${SYNOD:-$root/build/synod}
demo=$root/scripts/cluster-demo
work=$(mktemp -d)
export DIR=$work/demo NODES=3
unset SYNOD_ENDPOINTS
passed=0 failed=0 foreground=

# Every process this test has started is gone afterwards, however it ends.
finish() {
  [ -n "$foreground" ] && kill -KILL "$foreground" 2>/dev/null
  "$demo" down >/dev/null 2>&1
  for pid in $(pids); do kill -KILL "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

pids() { cat "$DIR"/n*.pid 2>/dev/null; }
alive() { local p; for p in "$@"; do kill -0 "$p" 2>/dev/null && return 0; done; return 1; }
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# within SECONDS COMMAND...: polls until it is true.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}

# check WHAT COMMAND...: one case.
check() {
  local what=$1
  shift
  if "$@" >"$work/out" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'failed: %s\n' "$what"
    sed 's/^/    /' "$work/out"
    for log in "$DIR"/n*.log; do [ -f "$log" ] && tail -n 5 "$log" | sed "s|^|    ${log##*/}: |"; done
  fi
}

value_is() { [ "$("$SYNOD" get "$1" --print-value-only 2>&1)" = "$2" ]; }
says() { grep -q -- "$1" "$2"; }

for program in "$SYNOD" "$demo"; do
  [ -x "$program" ] || { echo "skipped: $program is not there"; exit 77; }
done
for port in 2379 2380 22379 22380 32379 32380; do
  if taken "$port"; then echo "skipped: port $port is in use"; exit 77; fi
done

in_background() {
  export ENGINE=$1 DETACH=1
  check "$ENGINE: up" "$demo" up
  cp "$work/out" "$work/up"
  check "$ENGINE: greeting is read from 3 nodes" \
    test "$(grep -c "^hello-from-$ENGINE\$" "$work/up")" -eq 3
  mapfile -t running < <(pids)
  check "$ENGINE: 3 nodes run" test "${#running[@]}" -eq 3
  check "$ENGINE: up again uses it" "$demo" up
  cp "$work/out" "$work/up"
  check "$ENGINE: up again says so" says "runs in $DIR already" "$work/up"
  export SYNOD_ENDPOINTS=127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379
  kill -KILL "${running[0]}"
  check "$ENGINE: put without n1" "$SYNOD" put answer 42
  check "$ENGINE: get without n1" value_is answer 42
  unset SYNOD_ENDPOINTS
  check "$ENGINE: down" "$demo" down
  check "$ENGINE: all nodes are gone" within 5 eval "! alive ${running[*]}"
  check "$ENGINE: down again is no error" "$demo" down
}

in_foreground() {
  export ENGINE=$1 DETACH=
  "$demo" up >"$work/foreground" 2>&1 </dev/null &
  foreground=$!
  check "$ENGINE: up stays" within 30 says "Ctrl-C stops the cluster" "$work/foreground"
  check "$ENGINE: data of another engine is deleted" says "deleting it" "$work/foreground"
  mapfile -t running < <(pids)
  check "$ENGINE: 3 nodes run" test "${#running[@]}" -eq 3
  kill -TERM "$foreground"
  wait "$foreground"
  foreground=
  check "$ENGINE: all nodes are gone" within 5 eval "! alive ${running[*]}"
}

in_background raft
in_foreground multipaxos
in_background paxos

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
