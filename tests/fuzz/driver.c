/*
 * driver.c - runs a fuzz target without libFuzzer: mutates a corpus under a seed, so that the same
 * arguments give the same inputs on every machine.
 *
 *   fuzz_x [--seed N] [--iterations N] [--size-max N] [--corpus DIR] [FILE...]
 *
 * With FILEs, each is run once as it is. Otherwise every file of the corpus is run as it is, then
 * `iterations` mutants are. Inputs end at a page that cannot be read. When the target dies, the
 * input is left in crash-<name>-<seed>-<iteration>, to be passed back as FILE.
 */

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/bytes.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tests/support/guard.h"

#define CORPUS_MAX 4096

struct fuzz_options {
    uint64_t seed;
    uint64_t iterations;
    size_t size_max;
    const char *corpus;
};

struct fuzz {
    struct fuzz_options options;
    struct rng rng;
    struct guard guard;
    struct blob *corpus[CORPUS_MAX];
    size_t corpus_count;
    uint8_t *work; /* size_max bytes, the mutant in the making */
    size_t work_size;
    uint64_t ran;
};

/* What the crash handler needs; it runs in a signal. */
static struct bytes crash_input;
static char crash_path[256];
static const char *fuzz_name;

/* From the sanitizers' run-time, where there is one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* Leaves the current input behind. Uses only calls that are safe in a signal handler. */
static void crash_save(void)
{
    static const char text[] = "fuzz: the input is in ";
    int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) {
        return;
    }
    ssize_t written = write(fd, crash_input.data, crash_input.size);
    written += write(STDERR_FILENO, text, sizeof text - 1);
    written += write(STDERR_FILENO, crash_path, strlen(crash_path));
    written += write(STDERR_FILENO, "\n", 1);
    (void) written; /* Nobody is left to be told. */
    close(fd);
}

static void crash_signal(int number)
{
    crash_save();
    signal(number, SIG_DFL);
    raise(number);
}

static void crash_handler_install(void)
{
    /* The sanitizers handle SIGSEGV themselves and call back. */
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(crash_save);
    } else {
        signal(SIGSEGV, crash_signal);
        signal(SIGBUS, crash_signal);
        signal(SIGFPE, crash_signal);
    }
    signal(SIGABRT, crash_signal);
    signal(SIGTERM, crash_signal); /* the time limit of the test runner: an endless loop */
}

/* Runs the target once on a copy of `input`. */
static void fuzz_run(struct fuzz *f, struct bytes input)
{
    crash_input = guard_place(&f->guard, input);
    snprintf(crash_path, sizeof crash_path, "crash-%s-%llu-%llu", fuzz_name,
             (unsigned long long) f->options.seed, (unsigned long long) f->ran);
    f->ran++;
    (void) LLVMFuzzerTestOneInput(crash_input.data, crash_input.size); /* always 0 */
}

/* The contents of the file at `path`, cut at `size_max`; NULL when it cannot be read. */
static struct blob *file_read(const char *path, size_t size_max)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    struct blob *b = blob_new(size_max);
    b->size = fread(b->data, 1, size_max, file);
    fclose(file);
    return b;
}

/* Loads the files of the corpus in the order of their names; none is fine. */
static void corpus_load(struct fuzz *f)
{
    struct dirent **entries = NULL;
    int count = scandir(f->options.corpus, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", f->options.corpus, entries[i]->d_name);
        bool usable = entries[i]->d_name[0] != '.' && length < (int) sizeof path;
        struct blob *b = usable ? file_read(path, f->options.size_max) : NULL;
        if (b != NULL && f->corpus_count < CORPUS_MAX) {
            f->corpus[f->corpus_count] = b;
            f->corpus_count++;
        } else {
            blob_unref(b);
        }
        free(entries[i]);
    }
    free(entries);
}

/* A position in the mutant, or 0 when it is empty. */
static size_t mutate_at(struct fuzz *f)
{
    return f->work_size == 0 ? 0 : (size_t) rng_below(&f->rng, f->work_size);
}

/* Inserts up to `size` bytes from `src` (NULL: random ones) at a random position. */
static void mutate_insert(struct fuzz *f, const uint8_t *src, size_t size)
{
    size_t at = (size_t) rng_between(&f->rng, 0, f->work_size);
    size = (size_t) u64_min(size, f->options.size_max - f->work_size);
    memmove(f->work + at + size, f->work + at, f->work_size - at);
    for (size_t i = 0; i < size; i++) {
        f->work[at + i] = src == NULL ? (uint8_t) rng_below(&f->rng, 256) : src[i];
    }
    f->work_size += size;
}

/* Removes a random range, or everything after a random position. */
static void mutate_remove(struct fuzz *f, bool to_end)
{
    size_t at = mutate_at(f);
    size_t left = f->work_size - at;
    size_t size = to_end ? left : (size_t) rng_between(&f->rng, 0, u64_min(left, 16));
    memmove(f->work + at, f->work + at + size, left - size);
    f->work_size -= size;
}

/* Overwrites 1, 2, 4 or 8 bytes with a number on which code tends to trip. */
static void mutate_number(struct fuzz *f)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       0x7f,
                                       0x80,
                                       0xff,
                                       0x100,
                                       0x7fff,
                                       0x8000,
                                       0xffff,
                                       0x10000,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       0x100000000,
                                       0x7fffffffffffffff,
                                       0x8000000000000000,
                                       0xffffffffffffffff};
    uint64_t v = numbers[rng_below(&f->rng, ARRAY_SIZE(numbers))];
    size_t size = (size_t) 1 << rng_below(&f->rng, 4);
    uint8_t bytes[8];
    if (rng_chance(&f->rng, 1, 2)) {
        enc_put_u64(bytes, v);
    } else {
        enc_put_be64(bytes, v << (64 - 8 * size));
    }
    if (f->work_size >= size) {
        memcpy(f->work + rng_between(&f->rng, 0, f->work_size - size), bytes, size);
    } else {
        mutate_insert(f, bytes, size);
    }
}

/* Inserts a part of another input of the corpus. */
static void mutate_splice(struct fuzz *f)
{
    if (f->corpus_count == 0) {
        mutate_insert(f, NULL, 8);
        return;
    }
    const struct blob *b = f->corpus[rng_below(&f->rng, f->corpus_count)];
    size_t from = (size_t) rng_between(&f->rng, 0, b->size);
    size_t size = (size_t) rng_between(&f->rng, 0, u64_min(b->size - from, 256));
    mutate_insert(f, b->data + from, size);
}

/* Changes the mutant in one random way. */
static void mutate(struct fuzz *f)
{
    switch (rng_below(&f->rng, 8)) {
    case 0:
    case 1:
        if (f->work_size > 0) {
            f->work[mutate_at(f)] ^= (uint8_t) (1u << rng_below(&f->rng, 8));
        }
        break;
    case 2:
        if (f->work_size > 0) {
            f->work[mutate_at(f)] = (uint8_t) rng_below(&f->rng, 256);
        }
        break;
    case 3:
        mutate_insert(f, NULL, (size_t) rng_between(&f->rng, 1, 32));
        break;
    case 4:
        mutate_remove(f, false);
        break;
    case 5:
        mutate_remove(f, rng_chance(&f->rng, 1, 4));
        break;
    case 6:
        mutate_number(f);
        break;
    default:
        mutate_splice(f);
        break;
    }
}

/* Makes the next mutant from a random input of the corpus, or from nothing, and runs it. */
static void fuzz_mutant(struct fuzz *f)
{
    f->work_size = 0;
    if (f->corpus_count > 0 && !rng_chance(&f->rng, 1, 16)) {
        const struct blob *b = f->corpus[rng_below(&f->rng, f->corpus_count)];
        memcpy(f->work, b->data, b->size);
        f->work_size = b->size;
    } else {
        mutate_insert(f, NULL, (size_t) rng_between(&f->rng, 0, 64));
    }
    uint64_t changes = rng_between(&f->rng, 1, 8);
    for (uint64_t i = 0; i < changes; i++) {
        mutate(f);
    }
    fuzz_run(f, bytes_of(f->work, f->work_size));
}

/* Reads the options in front of the files; returns the index of the first file. */
static int options_parse(struct fuzz_options *options, int argc, char **argv)
{
    int i = 1;
    while (i < argc && strncmp(argv[i], "--", 2) == 0) {
        if (i + 1 == argc) {
            fprintf(stderr, "fuzz: %s needs a value\n", argv[i]);
            exit(2);
        }
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--seed") == 0) {
            options->seed = strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--iterations") == 0) {
            options->iterations = strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--size-max") == 0) {
            options->size_max = (size_t) strtoull(value, NULL, 0);
        } else if (strcmp(argv[i], "--corpus") == 0) {
            options->corpus = value;
        } else {
            fprintf(stderr, "fuzz: unknown option %s\n", argv[i]);
            exit(2);
        }
        i += 2;
    }
    return i;
}

int main(int argc, char **argv)
{
    static struct fuzz f;
    const char *slash = strrchr(argv[0], '/');
    fuzz_name = slash == NULL ? argv[0] : slash + 1;
    fuzz_name += strncmp(fuzz_name, "fuzz_", 5) == 0 ? 5 : 0;
    char corpus[256];
    snprintf(corpus, sizeof corpus, "tests/fuzz/corpus/%s", fuzz_name);
    f.options = (struct fuzz_options){1, 20000, 4096, corpus};
    int first_file = options_parse(&f.options, argc, argv);
    rng_init(&f.rng, f.options.seed);
    guard_init(&f.guard, f.options.size_max);
    f.work = xmalloc(f.options.size_max);
    crash_handler_install();

    int status = 0;
    if (first_file < argc) {
        for (int i = first_file; i < argc; i++) {
            struct blob *b = file_read(argv[i], f.options.size_max);
            if (b == NULL) {
                fprintf(stderr, "fuzz: cannot read %s\n", argv[i]);
                status = 1;
                continue;
            }
            fuzz_run(&f, blob_bytes(b));
            blob_unref(b);
        }
    } else {
        corpus_load(&f);
        for (size_t i = 0; i < f.corpus_count; i++) {
            fuzz_run(&f, blob_bytes(f.corpus[i]));
        }
        for (uint64_t i = 0; i < f.options.iterations; i++) {
            fuzz_mutant(&f);
        }
    }
    printf("%s: %llu inputs, seed %llu, %zu in the corpus\n", fuzz_name, (unsigned long long) f.ran,
           (unsigned long long) f.options.seed, f.corpus_count);
    for (size_t i = 0; i < f.corpus_count; i++) {
        blob_unref(f.corpus[i]);
    }
    free(f.work);
    guard_release(&f.guard);
    return status;
}
