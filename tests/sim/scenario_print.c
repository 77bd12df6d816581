/*
 * scenario_print.c - scenario to text: short, exact, and what scenario_parse reads back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "tests/sim/scenario_internal.h"

/* Numbers. */

/* value / 10^digits and a suffix, without zeros at the end. */
static void decimal_text(uint64_t value, uint32_t digits, const char *suffix,
                         char out[SCENARIO_SHORT_MAX])
{
    uint64_t unit = 1;
    for (uint32_t i = 0; i < digits; i++) {
        unit *= 10;
    }
    uint64_t rest = value % unit;
    while (digits > 0 && rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    if (digits == 0) {
        (void) snprintf(out, SCENARIO_SHORT_MAX, "%" PRIu64 "%s", value / unit, suffix);
    } else {
        (void) snprintf(out, SCENARIO_SHORT_MAX, "%" PRIu64 ".%0*" PRIu64 "%s", value / unit,
                        (int) digits, rest, suffix);
    }
}

void scenario_duration_text(uint64_t us, char out[SCENARIO_SHORT_MAX])
{
    static const struct {
        uint64_t least; /* no value begins with `0.` */
        uint32_t digits;
        const char *suffix;
    } units[] = {{0, 0, "us"}, {1000, 3, "ms"}, {1000000, 6, "s"}};
    if (us == 0) {
        (void) snprintf(out, SCENARIO_SHORT_MAX, "0");
        return;
    }
    out[0] = '\0';
    for (uint32_t i = 0; i < ARRAY_SIZE(units) && us >= units[i].least; i++) {
        char text[SCENARIO_SHORT_MAX];
        decimal_text(us, units[i].digits, units[i].suffix, text);
        if (out[0] == '\0' || strlen(text) < strlen(out)) {
            memcpy(out, text, sizeof text);
        }
    }
}

void scenario_size_text(uint64_t bytes, char out[SCENARIO_SHORT_MAX])
{
    static const char *const suffixes[] = {"", "KiB", "MiB", "GiB"};
    uint32_t i = 0;
    while (i + 1 < ARRAY_SIZE(suffixes) && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        i++;
    }
    (void) snprintf(out, SCENARIO_SHORT_MAX, "%" PRIu64 "%s", bytes, suffixes[i]);
}

void scenario_option_text(uint32_t option, uint64_t value, char out[SCENARIO_SHORT_MAX])
{
    switch (scenario_option_unit(option)) {
    case UNIT_TIME:
        scenario_duration_text(value, out);
        return;
    case UNIT_BYTES:
        scenario_size_text(value, out);
        return;
    case UNIT_FLAG:
        (void) snprintf(out, SCENARIO_SHORT_MAX, "%s", value != 0 ? "on" : "off");
        return;
    case UNIT_COUNT:
        (void) snprintf(out, SCENARIO_SHORT_MAX, "%" PRIu64, value);
        return;
    }
    UNREACHABLE();
}

void scenario_share_text(uint32_t permyriad, char out[SCENARIO_SHORT_MAX])
{
    decimal_text(permyriad, 2, "%", out);
}

/* A writer that stops at the first thing that does not fit. */
struct printer {
    struct buf *out;
    int err;
};

static void put(struct printer *p, const char *text)
{
    if (p->err == OK) {
        p->err = buf_append(p->out, text, strlen(text));
    }
}

static void put_number(struct printer *p, uint64_t number)
{
    char text[SCENARIO_SHORT_MAX];
    (void) snprintf(text, sizeof text, "%" PRIu64, number);
    put(p, text);
}

static void put_duration(struct printer *p, uint64_t us)
{
    char text[SCENARIO_SHORT_MAX];
    scenario_duration_text(us, text);
    put(p, text);
}

static void put_size(struct printer *p, uint64_t bytes)
{
    char text[SCENARIO_SHORT_MAX];
    scenario_size_text(bytes, text);
    put(p, text);
}

static void put_span(struct printer *p, const char *name, struct sim_span span)
{
    put(p, name);
    put(p, " ");
    put_duration(p, span.min);
    if (span.max != span.min) {
        put(p, "..");
        put_duration(p, span.max);
    }
}

static void put_share(struct printer *p, const char *name, uint32_t permyriad)
{
    char text[SCENARIO_SHORT_MAX];
    scenario_share_text(permyriad, text);
    put(p, name);
    put(p, " ");
    put(p, text);
}

/* Steps. */

static void put_node(struct printer *p, uint32_t node)
{
    if (node == SIM_NODE_ALL) {
        put(p, "all");
    } else if (node == SIM_NODE_LEADER) {
        put(p, "leader");
    } else {
        put_number(p, node);
    }
}

static void put_groups(struct printer *p, const struct sim_step *step)
{
    bool first_group = true;
    for (uint32_t group = 1; group <= UINT8_MAX; group++) {
        bool first = true;
        for (uint32_t node = 1; node <= SIM_NODES_MAX; node++) {
            if (step->group[node] == group) {
                put(p, !first ? " " : first_group ? "" : " | ");
                put_number(p, node);
                first = false;
                first_group = false;
            }
        }
    }
}

static void put_link(struct printer *p, const struct sim_step *step)
{
    put_number(p, step->a);
    put(p, step->both ? "<->" : "->");
    put_number(p, step->b);
}

static void put_for(struct printer *p, const struct sim_step *step)
{
    put(p, " for ");
    put_duration(p, step->for_us);
}

static void put_quality(struct printer *p, const struct sim_step *step)
{
    put_link(p, step);
    put_span(p, " delay", step->delay);
    put_share(p, " loss", step->loss_permyriad);
    put_share(p, " duplicate", step->duplicate_permyriad);
    if (step->rate != 0) {
        put(p, " rate ");
        put_size(p, step->rate);
    }
}

static void put_amount(struct printer *p, const struct sim_step *step, enum step_form form)
{
    ASSERT(form == FORM_CLOCK_PPM || step->amount >= 0);
    if (form == FORM_CLOCK_TIME || form == FORM_DISK_TIME || form == FORM_NODE_TURN) {
        put_duration(p, (uint64_t) step->amount);
    } else {
        char text[SCENARIO_SHORT_MAX];
        (void) snprintf(text, sizeof text, "%" PRId64 "%s", step->amount,
                        form == FORM_CLOCK_PPM ? "ppm" : "");
        put(p, text);
    }
}

static void put_operands(struct printer *p, const struct sim_step *step, enum step_form form)
{
    switch (form) {
    case FORM_NONE:
    case FORM_DISK:
    case FORM_DISK_FOR:
        break;
    case FORM_NODE:
    case FORM_NODE_FOR:
        put(p, " ");
        put_node(p, step->a);
        break;
    case FORM_NODE_TURN:
        put(p, " ");
        put_node(p, step->a);
        put(p, " turn ");
        put_amount(p, step, form);
        break;
    case FORM_LINK:
    case FORM_LINK_FOR:
        put(p, " ");
        put_link(p, step);
        break;
    case FORM_QUALITY:
        put(p, " ");
        put_quality(p, step);
        break;
    case FORM_GROUPS:
        put(p, " ");
        put_groups(p, step);
        break;
    case FORM_DISK_FACTOR:
    case FORM_DISK_TIME:
    case FORM_CLOCK_TIME:
    case FORM_CLOCK_PPM:
        put(p, " ");
        put_amount(p, step, form);
        break;
    case FORM_DISK_CALL:
        put(p, " ");
        put(p, scenario_call_name(step->what) == NULL ? "?" : scenario_call_name(step->what));
        break;
    case FORM_DISK_FILE:
        put(p, " ");
        put(p, scenario_file_name(step->what) == NULL ? "?" : scenario_file_name(step->what));
        break;
    }
}

static void put_when(struct printer *p, const struct sim_step *step)
{
    const struct sim_when *when = &step->when;
    if (when->kind == WHEN_TIME) {
        put(p, "at ");
        put_duration(p, step->at_us);
        return;
    }
    put(p, "when ");
    put(p, scenario_when_words(when->kind));
    if (scenario_when_operand(when->kind) == OPERAND_NODE) {
        put(p, " ");
        put_node(p, when->node);
    } else if (scenario_when_operand(when->kind) == OPERAND_COUNT) {
        put(p, " ");
        put_number(p, when->count);
    }
    if (step->at_us != 0) {
        put(p, " from ");
        put_duration(p, step->at_us);
    }
    if (when->after_us != 0) {
        put(p, " after ");
        put_duration(p, when->after_us);
    }
    if (when->times != 1) {
        put(p, " times ");
        put_number(p, when->times);
    }
}

static void put_step(struct printer *p, const struct sim_step *step)
{
    enum step_family family = scenario_step_family(step->kind);
    put_when(p, step);
    put(p, " ");
    if (family != FAMILY_NODE) {
        put(p, family == FAMILY_DISK ? "disk " : "clock ");
        put_node(p, step->a);
        put(p, " ");
    }
    put(p, scenario_step_word(step->kind));
    put_operands(p, step, scenario_step_form(step->kind));
    if (scenario_step_lasts(step->kind) || (step->for_us != 0 && scenario_step_ends(step->kind))) {
        put_for(p, step);
    }
}

void scenario_print_step(const struct sim_step *step, struct buf *out)
{
    struct printer p = {.out = out};
    put_step(&p, step);
}

/* The rest. */

enum { ABOUT_COLUMNS = 98 };

/* Lines of whole words. */
static void put_about(struct printer *p, const char *about)
{
    char line[SCENARIO_ABOUT_MAX];
    while (*about != '\0') {
        size_t size = strlen(about);
        size_t next = size;
        if (size > ABOUT_COLUMNS) {
            size_t end = ABOUT_COLUMNS;
            while (end > 0 && about[end] != ' ') {
                end--;
            }
            if (end == 0) {
                end = strcspn(about, " ");
            }
            size = end;
            next = about[end] == '\0' ? end : end + 1;
        }
        (void) snprintf(line, sizeof line, "%.*s", (int) size, about);
        put(p, "# ");
        put(p, line);
        put(p, "\n");
        about += next;
    }
}

static void put_head(struct printer *p, const struct scenario *s)
{
    put_about(p, s->about);
    put(p, "scenario 2\nengine ");
    put(p, s->engine == NULL ? "any" : engine_name(s->engine));
    put(p, "\nnodes ");
    put_number(p, s->nodes);
    put(p, "\nseed ");
    put_number(p, s->seed);
    put(p, "\nlength ");
    put_duration(p, s->length_us);
    put(p, "\nmode ");
    put(p, s->mode == SIM_LIVENESS ? "liveness core" : "safety");
    for (uint32_t i = 1; s->mode == SIM_LIVENESS && i <= SIM_NODES_MAX; i++) {
        if (s->core[i]) {
            put(p, " ");
            put_number(p, i);
        }
    }
    put(p, "\n");
}

static void put_options(struct printer *p, const struct scenario *s)
{
    struct scenario defaults;
    scenario_init(&defaults, s->engine, s->seed);
    for (uint32_t i = 0; i < SCENARIO_OPTIONS; i++) {
        if (s->options[i] != defaults.options[i]) {
            char text[SCENARIO_SHORT_MAX];
            scenario_option_text(i, s->options[i], text);
            put(p, "option ");
            put(p, scenario_option_name(i));
            put(p, " ");
            put(p, text);
            put(p, "\n");
        }
    }
    scenario_release(&defaults);
}

static void put_workload(struct printer *p, const struct scenario *s)
{
    put(p, "clients ");
    put_number(p, s->clients);
    put(p, " keys ");
    put_number(p, s->keys);
    put_span(p, " think", s->think);
    if (s->rate != 0) {
        put(p, " rate ");
        put_number(p, s->rate);
    }
    if (s->value.min != 0 || s->value.max != 0) {
        put(p, " value ");
        put_size(p, s->value.min);
        put(p, s->value.max != s->value.min ? ".." : "");
    }
    if (s->value.max != s->value.min) {
        put_size(p, s->value.max);
    }
    put(p, " timeout ");
    put_duration(p, s->timeout_us);
    put(p, " retry ");
    put_number(p, s->retry_percent);
    put(p, s->reads_local ? "% reads local\nmix" : "%\nmix");
    for (uint32_t i = 0; i < SIM_OPS; i++) {
        if (s->mix[i] != 0) {
            put(p, " ");
            put(p, scenario_op_name(i));
            put(p, " ");
            put_number(p, s->mix[i]);
        }
    }
    put(p, "\n");
}

int scenario_print(const struct scenario *s, struct buf *out)
{
    struct printer p = {.out = out};
    put_head(&p, s);
    put_options(&p, s);
    put_workload(&p, s);
    put_span(&p, "network delay", s->delay);
    put_share(&p, " loss", s->loss_permyriad);
    put_share(&p, " duplicate", s->duplicate_permyriad);
    put_span(&p, "\ndisk log", s->log_disk);
    put_span(&p, " state", s->state_disk);
    put_span(&p, " read", s->reads);
    put(&p, "\n");
    for (uint32_t i = 0; i < s->steps_count; i++) {
        put_step(&p, &s->steps[i]);
        put(&p, "\n");
    }
    if (s->gap_elections != 0) {
        put(&p, "expect available within ");
        put_number(&p, s->gap_elections);
        put(&p, " election-timeouts\n");
    }
    if (s->expect_red) {
        put(&p, "expect red");
        put(&p, s->expect_property[0] != '\0' ? " " : "");
        put(&p, s->expect_property);
        put(&p, "\n");
    }
    return p.err;
}
