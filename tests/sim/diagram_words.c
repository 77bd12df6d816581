/*
 * diagram_words.c - what a diagram says of an event: a label of a few words, and a title with
 * everything.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "tests/sim/diagram.h"

enum { STEP_TEXT_MAX = 256 };

/* Text that grows up to a limit; what is beyond is cut. */
struct words {
    char *text;
    size_t size;
    size_t max;
};

static void say(struct words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct words *w, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(w->text + w->size, w->max - w->size, format, args);
    va_end(args);
    w->size = n < 0 || (size_t) n >= w->max - w->size ? w->max - 1 : w->size + (size_t) n;
}

static void say_range(struct words *w, uint64_t first, uint64_t last)
{
    if (last > first) {
        say(w, " %" PRIu64 "..%" PRIu64, first, last);
    } else if (first != 0) {
        say(w, " %" PRIu64, first);
    }
}

void diagram_epoch(const struct diagram *d, uint64_t epoch, char text[32])
{
    if (engine_number(d->options->scenario->engine) == ENGINE_RAFT) {
        (void) snprintf(text, 32, "%" PRIu64, epoch);
    } else {
        (void) snprintf(text, 32, "%" PRIu64 ".%u", ballot_round(epoch), ballot_node(epoch));
    }
}

/* A step as its file has it, without `at` and the time. */
static void say_one(const struct sim_step *step, struct words *w)
{
    struct buf text;
    char line[STEP_TEXT_MAX];
    char *words;

    buf_init(&text, sizeof(line) - 1);
    scenario_print_step(step, &text);
    (void) snprintf(line, sizeof(line), "%.*s", (int) text.size,
                    text.size > 0 ? (const char *) text.data : "");
    buf_release(&text);
    words = strncmp(line, "at ", 3) == 0 ? strchr(line + 3, ' ') : NULL;
    say(w, "%s", words == NULL ? line : words + 1);
}

/* The steps of the scenario at this time; else those that a condition can have made due and that
 * are noted so. False: there are none. */
static bool say_step(const struct diagram *d, const struct diagram_event *e, struct words *w)
{
    const struct scenario *s = d->options->scenario;
    bool said = false;

    for (uint32_t i = 0; i < s->steps_count && s->steps[i].at_us <= e->time_us; i++) {
        if (s->steps[i].when.kind == WHEN_TIME && s->steps[i].at_us == e->time_us) {
            say(w, "%s", said ? "; " : "");
            say_one(&s->steps[i], w);
            said = true;
        }
    }
    for (uint32_t i = 0; i < s->steps_count && !said && e->note != NULL; i++) {
        if (s->steps[i].when.kind != WHEN_TIME &&
            strcmp(scenario_step_note(s->steps[i].kind), e->note) == 0) {
            say_one(&s->steps[i], w);
            said = true;
        }
    }
    return said;
}

static bool is_link_fault(const char *note)
{
    return strcmp(note, "cut") == 0 || strcmp(note, "join") == 0 || strcmp(note, "clog") == 0 ||
           strcmp(note, "link") == 0;
}

static void say_fault(const struct diagram *d, const struct diagram_event *e, struct words *w)
{
    const char *note = e->note == NULL ? "fault" : e->note;

    if ((diagram_lane(e) != 0 && !is_link_fault(note)) || !say_step(d, e, w)) {
        say(w, "%s", note);
    }
}

static void say_message(const struct diagram_event *e, struct words *w)
{
    say(w, "%s", message_name(e->message));
    if (e->entries > 0) {
        say_range(w, e->index, e->last);
    } else if (e->last != 0) {
        say(w, " %" PRIu64, e->last);
    } else if (e->index != 0) {
        say(w, " %" PRIu64, e->index);
    }
    if (e->reject) {
        say(w, " refused");
    }
}

/* Call numbers of the simulator have the client on top. */
static void say_call(struct words *w, const char *what, uint64_t ctx)
{
    enum { CLIENT_SHIFT = 40 };

    say(w, "%s %" PRIu64 " of c%" PRIu64, what, ctx & ((UINT64_C(1) << CLIENT_SHIFT) - 1),
        ctx >> CLIENT_SHIFT);
}

void diagram_label(const struct diagram *d, const struct diagram_event *e,
                   char text[DIAGRAM_TEXT_MAX])
{
    struct words w = {text, 0, DIAGRAM_TEXT_MAX};
    char epoch[32];

    text[0] = '\0';
    diagram_epoch(d, e->epoch, epoch);
    switch (e->kind) {
    case DIAGRAM_MESSAGE:
        say_message(e, &w);
        break;
    case TRACE_BECAME_LEADER:
        say(&w, "leader of %s", epoch);
        break;
    case TRACE_BECAME_FOLLOWER:
        say(&w, "follows %s", epoch);
        break;
    case TRACE_BECAME_CANDIDATE:
        say(&w, "candidate for %s", epoch);
        break;
    case TRACE_VOTE:
        say(&w, "votes for %u in %s", e->to, epoch);
        break;
    case TRACE_PROMISE:
        say(&w, "promises %s", epoch);
        break;
    case TRACE_ACCEPT:
        say(&w, "accepts %" PRIu64 " in %s", e->index, epoch);
        break;
    case TRACE_PROPOSE:
        say(&w, "proposes %" PRIu64 " in %s", e->index, epoch);
        break;
    case TRACE_DURABLE:
        say(&w, "durable");
        say_range(&w, e->index, e->last);
        break;
    case TRACE_REQUEST:
        say_call(&w, "call", e->ctx);
        break;
    case TRACE_REPLY:
        say_call(&w, e->note == NULL ? "answer" : e->note, e->ctx);
        break;
    case TRACE_STEP_DOWN:
        say(&w, "steps down%s%s", e->note == NULL ? "" : ": ", e->note == NULL ? "" : e->note);
        break;
    case TRACE_FAULT:
        say_fault(d, e, &w);
        break;
    case TRACE_MARK:
        say(&w, "%s", e->note == NULL ? "mark" : e->note);
        break;
    case TRACE_DROP:
        say(&w, "drops %s%s%s", message_name(e->message), e->note == NULL ? "" : ": ",
            e->note == NULL ? "" : e->note);
        break;
    case TRACE_START:
        say(&w, "starts at %" PRIu64, e->index);
        break;
    default:
        say(&w, "%s", trace_kind_name(e->kind));
        say_range(&w, e->index, e->last);
        break;
    }
}

void diagram_title(const struct diagram *d, const struct diagram_event *e,
                   char text[DIAGRAM_TITLE_MAX])
{
    struct words w = {text, 0, DIAGRAM_TITLE_MAX};
    char epoch[32];

    text[0] = '\0';
    diagram_epoch(d, e->epoch, epoch);
    if (e->kind == DIAGRAM_MESSAGE) {
        say(&w, "%s from %u to %u", message_name(e->message), e->node, e->to);
    } else {
        char label[DIAGRAM_TEXT_MAX];

        diagram_label(d, e, label);
        say(&w, "%s: %s", trace_kind_name(e->kind), label);
        if (diagram_lane(e) != 0) {
            say(&w, ", node %u", e->node);
        }
    }
    if (e->epoch != 0) {
        say(&w, ", epoch %s", epoch);
    }
    if (e->entries > 0) {
        say(&w, ", entries");
        say_range(&w, e->index, e->last);
    } else {
        if (e->index != 0) {
            say(&w, ", index %" PRIu64, e->index);
        }
        if (e->last != 0) {
            say(&w, ", last %" PRIu64, e->last);
        }
    }
    if (e->commit != 0) {
        say(&w, ", commit %" PRIu64, e->commit);
    }
    if (e->ctx != 0) {
        say(&w, ", number %" PRIu64, e->ctx);
    }
    if (e->reject) {
        say(&w, ", refused");
    }
    say(&w, ", at %.6f s", (double) e->time_us / 1e6);
    if (e->kind != DIAGRAM_MESSAGE) {
        return;
    }
    if (e->end_us == 0) {
        say(&w, ", lost");
    } else if (!diagram_arrives(d, e)) {
        say(&w, ", finds nobody at %.6f s", (double) e->end_us / 1e6);
    } else {
        say(&w, ", arrives at %.6f s", (double) e->end_us / 1e6);
    }
}
