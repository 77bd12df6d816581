/*
 * sweep_state.c - the file in which a sweep keeps what it has done: see sweep.h.
 *
 * Lines of words; it ends with "end", and is replaced as a whole by rename, so that it is never a
 * part of itself:
 *
 *     synod-sim sweep 1
 *     build 0.1.0 4f3a2b1c0d9e
 *     options raft,paxos from 1 nodes 0 mode -1 beyond 0
 *     low 118                      jobs 0 to 117 are done
 *     ahead 120                    and this one
 *     elapsed 31415926             us of real time
 *     engine 0 runs 60 red 0 ...   numbers of one engine of the options
 *     count 0 17 3                 engine, counter, value; those that are not 0
 *     mark 0 4 12
 *     red 17 1500000 R6 text to the end of the line; property "-" for none
 *     end
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "tests/sim/sweep.h"

enum { LINE_MAX_BYTES = 1024, AHEAD_MAX = 1 << 20 };

static void format_options(const struct sweep_options *o, char *text, size_t size)
{
    size_t n = 0;

    for (uint32_t i = 0; i < o->engines_count; i++) {
        n += (size_t) snprintf(text + n, size - n, "%s%s", i == 0 ? "" : ",",
                               engine_name(o->engines[i]));
    }
    (void) snprintf(text + n, size - n, " from %" PRIu64 " nodes %u mode %d beyond %d", o->from,
                    o->swarm.nodes, o->swarm.mode, o->swarm.beyond);
}

/* ---- Writing ---- */

static void write_engine(const struct sweep *s, uint32_t e, FILE *f)
{
    const struct sweep_totals *t = &s->totals[e];

    (void) fprintf(f,
                   "engine %u runs %" PRIu64 " red %" PRIu64 " virtual %" PRIu64 " cpu %" PRIu64
                   " gap %" PRIu64 " settle %" PRIu64 " hash %" PRIu64 "\n",
                   e, t->runs, t->red, t->virtual_us, t->cpu_us, t->gap_us, t->settle_us, t->hash);
    for (uint32_t i = 0; i < SIM_COUNTS; i++) {
        if (t->counts[i] != 0) {
            (void) fprintf(f, "count %u %u %" PRIu64 "\n", e, i, t->counts[i]);
        }
    }
    for (uint32_t i = 0; i < MARKS; i++) {
        if (t->marks[i] != 0) {
            (void) fprintf(f, "mark %u %u %" PRIu64 "\n", e, i, t->marks[i]);
        }
    }
}

int sweep_save(const struct sweep *s, struct buf *error)
{
    const char *path = s->options->resume;
    char options[512];
    char temporary[4096];
    FILE *f = NULL;
    bool good;

    errno = ENAMETOOLONG;
    if ((size_t) snprintf(temporary, sizeof(temporary), "%s.new", path) < sizeof(temporary)) {
        f = fopen(temporary, "w");
    }
    if (f == NULL) {
        ERR_IGNORE(buf_printf(error, "%s: cannot write: %s", path, strerror(errno)));
        return ERR_IO;
    }
    format_options(s->options, options, sizeof(options));
    /* Errors of output are sticky: asked for at the end. */
    (void) fprintf(f, "synod-sim sweep 1\nbuild %s\noptions %s\nlow %" PRIu64 "\n",
                   s->options->build, options, s->low);
    for (size_t i = 0; i < s->ahead_count; i++) {
        (void) fprintf(f, "ahead %" PRIu64 "\n", s->ahead[i]);
    }
    (void) fprintf(f, "elapsed %" PRIu64 "\n", sweep_elapsed(s));
    for (uint32_t e = 0; e < s->options->engines_count; e++) {
        write_engine(s, e, f);
    }
    for (uint32_t i = 0; i < s->reds_count; i++) {
        const struct sweep_red *r = &s->reds[i];

        (void) fprintf(f, "red %" PRIu64 " %" PRIu64 " %s %s\n", r->job, r->at_us,
                       r->property[0] == '\0' ? "-" : r->property, r->text);
    }
    (void) fprintf(f, "end\n");
    good = fflush(f) == 0 && ferror(f) == 0 && fsync(fileno(f)) == 0;
    good = fclose(f) == 0 && good;
    if (!good || rename(temporary, path) != 0) {
        ERR_IGNORE(buf_printf(error, "%s: cannot write: %s", path, strerror(errno)));
        return ERR_IO;
    }
    return OK;
}

/* ---- Reading ---- */

static bool read_engine(struct sweep *s, const char *line)
{
    struct sweep_totals t = {0};
    uint32_t e;

    if (sscanf(line,
               "engine %u runs %" SCNu64 " red %" SCNu64 " virtual %" SCNu64 " cpu %" SCNu64
               " gap %" SCNu64 " settle %" SCNu64 " hash %" SCNu64,
               &e, &t.runs, &t.red, &t.virtual_us, &t.cpu_us, &t.gap_us, &t.settle_us,
               &t.hash) != 8 ||
        e >= s->options->engines_count) {
        return false;
    }
    s->totals[e] = t;
    s->runs += t.runs;
    s->red += t.red;
    return true;
}

/* Its number follows the line of the engine. */
static bool read_number(struct sweep *s, const char *line)
{
    uint32_t e, i;
    uint64_t value;

    if (sscanf(line, "count %u %u %" SCNu64, &e, &i, &value) == 3 && i < SIM_COUNTS &&
        e < s->options->engines_count) {
        s->totals[e].counts[i] = value;
        return true;
    }
    if (sscanf(line, "mark %u %u %" SCNu64, &e, &i, &value) == 3 && i < MARKS &&
        e < s->options->engines_count) {
        s->totals[e].marks[i] = value;
        return true;
    }
    return false;
}

static bool read_red(struct sweep *s, const char *line)
{
    struct sweep_red *r = &s->reds[s->reds_count];
    int text = 0;

    if (s->reds_count == SWEEP_REDS_MAX ||
        sscanf(line, "red %" SCNu64 " %" SCNu64 " %7s %n", &r->job, &r->at_us, r->property,
               &text) != 3 ||
        text == 0) {
        return false;
    }
    if (strcmp(r->property, "-") == 0) {
        r->property[0] = '\0';
    }
    (void) snprintf(r->text, sizeof(r->text), "%s", line + text);
    s->reds_count++;
    return true;
}

/* A line after the first three. */
static bool read_line(struct sweep *s, const char *line)
{
    uint64_t job;

    if (sscanf(line, "low %" SCNu64, &s->low) == 1 ||
        sscanf(line, "elapsed %" SCNu64, &s->before_us) == 1) {
        return true;
    }
    if (sscanf(line, "ahead %" SCNu64, &job) == 1 && job > s->low && s->ahead_count < AHEAD_MAX) {
        sweep_mark_done(s, job);
        return true;
    }
    return read_engine(s, line) || read_number(s, line) || read_red(s, line);
}

/* The first three lines: what the file is about. */
static int check_head(const struct sweep *s, uint32_t number, const char *line, struct buf *error)
{
    const struct sweep_options *o = s->options;
    char wanted[640];
    char options[512];

    if (number == 1) {
        if (strcmp(line, "synod-sim sweep 1") != 0) {
            ERR_IGNORE(
                buf_printf(error, "%s: not a file of --resume; name another one", o->resume));
            return ERR_INVALID;
        }
        return OK;
    }
    if (number == 2) {
        (void) snprintf(wanted, sizeof(wanted), "build %s", o->build);
    } else {
        format_options(o, options, sizeof(options));
        (void) snprintf(wanted, sizeof(wanted), "options %s", options);
    }
    if (strcmp(line, wanted) != 0) {
        ERR_IGNORE(buf_printf(error,
                              "%s is of another sweep (\"%.200s\", this is \"%.200s\"): remove it "
                              "or name another file",
                              o->resume, line, wanted));
        return ERR_MISMATCH;
    }
    return OK;
}

static int read_file(struct sweep *s, FILE *f, struct buf *error)
{
    char line[LINE_MAX_BYTES];
    uint32_t number = 0;

    while (fgets(line, sizeof(line), f) != NULL) {
        number++;
        line[strcspn(line, "\n")] = '\0';
        if (number <= 3) {
            int err = check_head(s, number, line, error);

            if (err != OK) {
                return err;
            }
        } else if (strcmp(line, "end") == 0) {
            return OK;
        } else if (!read_line(s, line)) {
            ERR_IGNORE(buf_printf(error,
                                  "%s: line %u does not parse: \"%.60s\"; remove the file "
                                  "to begin anew",
                                  s->options->resume, number, line));
            return ERR_INVALID;
        }
    }
    if (ferror(f) != 0) {
        ERR_IGNORE(buf_printf(error, "%s: cannot read: %s", s->options->resume, strerror(errno)));
        return ERR_IO;
    }
    ERR_IGNORE(buf_printf(error, "%s: no \"end\" after line %u; remove the file to begin anew",
                          s->options->resume, number));
    return ERR_INVALID;
}

int sweep_load(struct sweep *s, struct buf *error)
{
    const char *path = s->options->resume;
    struct stat status;
    FILE *f;
    int err;

    /* First of all: to open a pipe would wait for somebody at its other end. */
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
        ERR_IGNORE(buf_printf(error, "%s: %s; name another file", path,
                              S_ISDIR(status.st_mode) ? strerror(EISDIR) : "not a regular file"));
        return ERR_IO;
    }
    f = fopen(path, "r");
    if (f == NULL) {
        if (errno == ENOENT) {
            return OK;
        }
        ERR_IGNORE(buf_printf(error, "%s: cannot read: %s", path, strerror(errno)));
        return ERR_IO;
    }
    err = read_file(s, f, error);
    (void) fclose(f); /* only read */
    return err;
}
