/*
 * explore_text.c - choices as text for people, paths as codes for --replay.
 *
 *     raft-led-bare-n3c2r0t2x1d0.4.0.17      options, then which of the choices was made each time
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/explore_internal.h"

static unsigned long long llu(uint64_t v)
{
    return v;
}

/* A path that does not fit is cut off. */
#define PUT(out, ...) ERR_IGNORE(buf_printf(out, __VA_ARGS__))

static void value_text(uint64_t number, struct buf *out)
{
    if (number == EX_VALUE_NOOP) {
        PUT(out, "noop");
    } else if (number == EX_VALUE_OTHER) {
        PUT(out, "?");
    } else {
        PUT(out, "c%llu", llu(number - EX_VALUE_NOOP));
    }
}

static void epoch_text(const struct explorer *x, uint64_t epoch, struct buf *out)
{
    if (engine_number(x->options.engine) == ENGINE_RAFT || epoch == 0) {
        PUT(out, "%llu", llu(epoch));
    } else {
        PUT(out, "%llu/%u", llu(ballot_round(epoch)), ballot_node(epoch));
    }
}

static void message_text(const struct explorer *x, const struct ex_message *sent, struct buf *out)
{
    const struct message *m = sent->message;
    PUT(out, "%s %u->%u%s epoch ", message_name(m->type), m->from, m->to,
        m->reject ? " REJECT" : "");
    epoch_text(x, m->epoch, out);
    if (m->pos.index != 0) {
        PUT(out, " pos %llu:", llu(m->pos.index));
        epoch_text(x, m->pos.epoch, out);
    }
    if (m->last != 0) {
        PUT(out, " last %llu", llu(m->last));
    }
    if (m->commit != 0) {
        PUT(out, " commit %llu", llu(m->commit));
    }
    if (m->hint.index != 0 || m->hint.epoch != 0) {
        PUT(out, " hint %llu:", llu(m->hint.index));
        epoch_text(x, m->hint.epoch, out);
    }
    for (uint32_t k = 0; k < m->entries_count; k++) {
        PUT(out, " [%llu:", llu(m->entries[k].index));
        epoch_text(x, m->entries[k].epoch, out);
        PUT(out, "=");
        value_text(ex_value_number(x, m->entries[k].value), out);
        PUT(out, "]");
    }
    if (sent->life > 1) {
        PUT(out, " (life %u)", sent->life);
    }
}

void ex_text_input(const struct explorer *x, uint32_t input, struct buf *out)
{
    uint32_t node = EX_INPUT_NODE(input);
    uint32_t arg = EX_INPUT_ARG(input);
    switch (EX_INPUT_KIND(input)) {
    case EX_DELIVER:
        PUT(out, "deliver ");
        message_text(x, &x->messages[arg], out);
        break;
    case EX_AGAIN:
        PUT(out, "deliver a copy of ");
        message_text(x, &x->messages[arg], out);
        break;
    case EX_STORE:
        PUT(out, "node %u: its oldest write is durable", node);
        break;
    case EX_TIMEOUT:
        PUT(out, "node %u: its deadline passes", node);
        break;
    case EX_PROPOSE:
        PUT(out, "node %u: propose c%u", node, arg);
        break;
    case EX_READ:
        PUT(out, "node %u: read %u", node, arg);
        break;
    case EX_CRASH:
        PUT(out, "node %u: crash and restart", node);
        break;
    default:
        PUT(out, "node %u: start", node);
        break;
    }
    PUT(out, "\n");
}

static void slot_text(const struct explorer *x, uint64_t value, uint64_t epoch, struct buf *out)
{
    if (value == 0) {
        PUT(out, " -");
        return;
    }
    PUT(out, " ");
    value_text(value, out);
    PUT(out, ":");
    epoch_text(x, epoch, out);
}

void ex_text_state(const struct explorer *x, const struct ex_state *s, struct buf *out)
{
    for (uint32_t node = 1; node <= x->options.nodes; node++) {
        const struct ex_local *l = &x->locals[s->local[node - 1]];
        const uint64_t *view =
            (const uint64_t *) (const void *) intern_get(&x->views, l->view).data;
        const struct ex_disk *d =
            (const struct ex_disk *) (const void *) intern_get(&x->disks, l->disk).data;
        PUT(out, "    node %u life %u %s epoch ", node, l->life, consensus_role_name(l->role));
        epoch_text(x, l->epoch, out);
        PUT(out, " commit %u log", l->commit);
        uint64_t last = EX_SLOTS - 1;
        while (last > 0 && view[(last - 1) * 3] == 0 && d->values[last] == 0) {
            last--;
        }
        for (uint64_t slot = 1; slot <= last; slot++) {
            slot_text(x, view[(slot - 1) * 3], view[(slot - 1) * 3 + 1], out);
        }
        PUT(out, " | disk epoch ");
        epoch_text(x, d->epoch, out);
        PUT(out, " vote %llu log", llu(d->vote));
        for (uint64_t slot = 1; slot <= last; slot++) {
            slot_text(x, d->values[slot], d->epochs[slot], out);
        }
        PUT(out, "%s\n", l->writes ? " | writing" : "");
    }
}

void ex_text_code(const struct explore_options *o, struct buf *out)
{
    PUT(out, "%s-%s-%s%s%s%s-n%uc%ur%ut%ux%ud%u", engine_name(o->engine),
        explore_start_name(o->start), o->product ? "product" : "bare", o->fifo ? "+fifo" : "",
        o->instant_disk ? "+instant" : "", o->small_messages ? "+small" : "", o->nodes, o->commands,
        o->reads, o->timeouts, o->crashes, o->duplicates);
}

static bool within(const struct explore_options *o)
{
    return o->nodes >= (o->start == EXPLORE_SPLIT ? 2 : 1) && o->nodes <= EXPLORE_NODES_MAX &&
           o->commands <= EXPLORE_COMMANDS_MAX && o->reads <= EXPLORE_READS_MAX &&
           o->timeouts <= EXPLORE_BUDGET_MAX && o->crashes <= EXPLORE_BUDGET_MAX &&
           o->duplicates <= EXPLORE_BUDGET_MAX;
}

/* Takes a word from the front of the text, if it is there. */
static bool skip(const char **text, const char *word)
{
    bool found = strncmp(*text, word, strlen(word)) == 0;
    *text += found ? strlen(word) : 0;
    return found;
}

static bool parse_modes(const char *text, struct explore_options *o)
{
    o->product = skip(&text, "product");
    if (!o->product && !skip(&text, "bare")) {
        return false;
    }
    o->fifo = skip(&text, "+fifo");
    o->instant_disk = skip(&text, "+instant");
    o->small_messages = skip(&text, "+small");
    return *text == '\0';
}

int ex_text_parse(const char *code, struct explore_options *ret_options, const char **ret_choices,
                  struct buf *error)
{
    char engine[16];
    char start[16];
    char modes[32];
    int used = 0;
    bool good = false;
    struct explore_options o;
    explore_options_init(&o, NULL);
    int found =
        sscanf(code, "%15[a-z]-%15[a-z]-%31[a-z+]-n%uc%ur%ut%ux%ud%u%n", engine, start, modes,
               &o.nodes, &o.commands, &o.reads, &o.timeouts, &o.crashes, &o.duplicates, &used);
    if (found == 9) {
        o.engine = engine_by_name(engine);
        good = parse_modes(modes, &o);
        o.start = 0;
        while (o.start < EXPLORE_STARTS && strcmp(explore_start_name(o.start), start) != 0) {
            o.start++;
        }
    }
    if (o.engine == NULL || o.start == EXPLORE_STARTS || !within(&o) || !good) {
        PUT(error, "`%.40s` is not a path; one begins like raft-led-bare-n3c2r0t2x1d0.4.0", code);
        return ERR_INVALID;
    }
    *ret_options = o;
    *ret_choices = code + used;
    return OK;
}
