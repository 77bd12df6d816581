#!/usr/bin/env bash
# The check scripts find what they are for, and do not find what is right: each case is a tree of
# one file, and the rule it should break ("" for none).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# expect SCRIPT PATH RULE TEXT: runs the script over a tree that holds TEXT at PATH.
expect() {
  local script=$1 path=$2 rule=$3 text=$4 output status
  rm -rf "$work/tree"
  mkdir -p "$work/tree/$(dirname "$path")"
  printf '%b' "$text" >"$work/tree/$path"
  output=$("$root/scripts/$script" "$work/tree" 2>&1)
  status=$?
  if [ -z "$rule" ] && [ $status -eq 0 ]; then
    passed=$((passed + 1))
  elif [ -n "$rule" ] && [ $status -eq 1 ] && grep -q "^$path:[0-9]*: .*$rule" <<<"$output"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'failed: %s %s should say "%s"; exit status %d:\n%s\n' \
      "$script" "$path" "$rule" "$status" "$output"
  fi
}
layers() { expect check-layers "$@"; }
style() { expect check-style "$@"; }

layers base/a.c 'base/ may not include' '#include "kv/store.h"\n'
layers base/a.c '' '#include "base/err.h"\n#include <string.h>\n'
layers base/a.c '<uv.h>: not in this file' '#include <uv.h>\n'
layers base/a.c 'no threads' '#include <pthread.h>\n'
layers consensus/a.c 'consensus/ may not include' '#include "proto/wire_kv.h"\n'
layers consensus/a.c 'consensus/ may not include' '#include "net/grpc.h"\n'
layers consensus/a.c 'does no I/O' '#include <unistd.h>\n'
layers consensus/a.c '' '#include "base/err.h"\n#include "consensus/log.h"\n'
layers proto/a.c '' '#include "consensus/message.h"\n'
layers proto/a.c 'proto/ may not include' '#include "consensus/engine.h"\n'
layers proto/wire_a.c '' '#include "proto/kv.pb-c.h"\n#include <protobuf-c/protobuf-c.h>\n'
layers proto/a.c 'generated headers' '#include "proto/kv.pb-c.h"\n'
layers kv/a.c 'generated headers' '#include "proto/kv.pb-c.h"\n'
layers net/a.c 'net/ may not include' '#include "consensus/consensus.h"\n'
layers net/a.c '' '#include <uv.h>\n#include <nghttp2/nghttp2.h>\n#include <openssl/ssl.h>\n'
layers net/a.h 'no third-party header in a header' '#include <uv.h>\n'
layers kv/replica.c '<uv.h>' '#include <uv.h>\n'
layers kv/server_clock.c '' '#include <uv.h>\n'
layers kv/mvcc.c '<leveldb/c.h>' '#include <leveldb/c.h>\n'
layers kv/store_leveldb.c '' '#include <leveldb/c.h>\n'
layers kv/store_leveldb.h 'in a header' '#include <leveldb/c.h>\n'
layers kv/a.c 'unknown header' '#include <zlib.h>\n'
layers kv/a.c 'from the root' '#include "store.h"\n'
layers kv/a.c '' '/*\n#include <uv.h>\n*/\n'
layers tests/sim/a.c '<uv.h>' '#include <uv.h>\n'
layers tests/unit/test_a.c '' '#include <cmocka.h>\n'
layers kv/a.c 'reads a clock' 'int f(void) { return time(0); }\n'
layers kv/a.c 'reads a clock' 'int f(void) { return clock_gettime (0, 0); }\n'
layers kv/a.c 'random' 'int f(void) { return rand(); }\n'
layers kv/a.c 'environment' 'char *f(void) { return getenv("HOME"); }\n'
layers kv/a.c 'sleeps' 'void f(void) { usleep(1); }\n'
layers kv/a.c 'ends the process' 'void f(void) { exit(1); }\n'
layers kv/main.c '' 'void f(void) { exit(getenv("HOME") != 0); }\n'
layers base/diag_stderr.c '' 'int f(void) { return time(0); }\n'
layers base/diag_stderr.c 'sleeps' 'int f(void) { return sleep(1); }\n'
layers kv/a.c '' 'void f(void) { x->time(1); x.exit(2); uv_sleep(3); s = "exit(1)"; /* rand() */ }\n'
layers tests/unit/test_a.c 'sleeps' 'void f(void) { usleep(1); }\n'
layers tests/unit/test_a_timing.c '' 'void f(void) { usleep(1); }\n'

good='/*\n * a file.\n */\n\n'
long=$(printf '%0100d' 0)
style kv/a.c '' "${good}int x; /* TODO(#12): more */\nconst char *u = \"http://x\";\n"
style kv/a.c '// comment' "${good}int x; // why\n"
style kv/a.c '103 columns' "${good}/*$long*\n*/\n"
style kv/a.c 'tab' "${good}\tint x;\n"
style kv/a.c 'blanks at the end' "${good}int x; \n"
style kv/a.c 'no newline at the end' "${good}int x;"
style kv/a.c 'no header comment' 'int x;\n'
style kv/a.c 'typedef of a struct' "${good}typedef struct a b;\n"
style kv/a.c 'typedef of a enum' "${good}typedef enum { A } b;\n"
style kv/a.c 'size_t2_t: names' "${good}typedef int size_t2_t;\n"
style kv/a.c 'fn_t: names' "${good}typedef void (*fn_t)(size_t n);\n"
style kv/a.c '' "${good}typedef void (*a_fn)(size_t n);\n"
style kv/a.c 'TODO without' "${good}/* TODO: more */\n"
style kv/a.h '' '#ifndef A\n#define A\n\n/* a file. */\n\n#endif\n'
style kv/a.h '' '/* a file. */\n#ifndef A\n#define A\n#endif\n'
style kv/a.h 'begins with a guard' '/* a file. */\nint x;\n'
style kv/a.h 'guard ends at the end' '/* a file. */\n#ifndef A\n#define A\n#endif\nint x;\n'
style kv/a.h 'no header comment' '#ifndef A\n#define A\nint x;\n#endif\n'
style kv/a.c '1203 lines' "$good$(printf '%01199d' 0 | sed 's/0/\\n/g')"
style kv/a.c '' "$good$(printf '%01190d' 0 | sed 's/0/\\n/g')"

# The own header comes first; this needs two files.
mkdir -p "$work/two/kv"
printf '/* a. */\n#ifndef A\n#define A\n#endif\n' >"$work/two/kv/a.h"
printf '/* a. */\n#include <stdio.h>\n#include "kv/a.h"\n' >"$work/two/kv/a.c"
if "$root/scripts/check-style" "$work/two" | grep -q '^kv/a.c:2: .*included first'; then
  passed=$((passed + 1))
else
  failed=$((failed + 1))
  echo 'failed: an own header that is not first was not found'
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
