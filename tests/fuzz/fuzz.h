#ifndef SYNOD_TESTS_FUZZ_FUZZ_H
#define SYNOD_TESTS_FUZZ_FUZZ_H

/*
 * fuzz.h - what a fuzz target is.
 *
 * A file tests/fuzz/fuzz_<name>.c defines LLVMFuzzerTestOneInput and nothing else that is public.
 * It is linked with driver.c, or with libFuzzer by `make fuzz CC=clang`. Inputs worth keeping are
 * files in tests/fuzz/corpus/<name>/.
 */

#include <stddef.h>
#include <stdint.h>

/* Feeds one input to the code under test and ASSERTs what must hold. Keeps no state, leaks nothing,
 * returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
