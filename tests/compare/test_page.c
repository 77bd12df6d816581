/*
 * test_page.c - a page with everything on it is whole, stands alone, and can be read: elements that
 * match, headings in order, ids that are unique, classes that have a style, colours with contrast.
 */
#include "tests/compare/page.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/compare/plot.h"
#include "tests/compare/table.h"

enum { NAME_MAX = 32, DEPTH_MAX = 32, IDS_MAX = 64 };

static void put_plots(FILE *out)
{
    static const struct plot_point points[] = {{0, 1, 0.5, 2}, {1, 2, 1, 3}, {2, 1, NAN, NAN}};
    static const struct plot_series series[] = {
        {.name = "raft", .points = points, .count = 3, .replay = "run raft"},
        {.name = "a \"b\" <c> & d", .colour = 1, .points = points, .count = 3, .dashed = true},
        {.name = "paxos", .colour = 2}};
    static const struct plot_mark marks[] = {{0.5, 1.5, "cut <1>"},
                                             {1.7, 1.7,
                                              "a label that is so "
                                              "long that there is "
                                              "no room for it all"}};
    static const char *const groups[] = {"one & two", "three", "four"};
    struct plot p = {.title = "Down-time <by> fault",
                     .about = "What & how.",
                     .x_title = "x",
                     .y_title = "y",
                     .series = series,
                     .series_count = 3,
                     .groups = groups,
                     .groups_count = 3,
                     .marks = marks,
                     .marks_count = 2,
                     .x_min = NAN,
                     .x_max = NAN,
                     .y_min = NAN,
                     .y_max = NAN};

    for (int kind = PLOT_LINE; kind <= PLOT_SCATTER; kind++) {
        p.kind = (enum plot_kind) kind;
        plot_svg(&p, out);
    }
}

static void put_table(FILE *out)
{
    struct table t;

    table_init(&t, "A <table>");
    table_note(&t, "%s", "Note & more");
    table_column(&t, "fault", false);
    table_column(&t, "count", true);
    for (uint8_t tone = TONE_PLAIN; tone <= TONE_QUIET; tone++) {
        struct table_cell *cell;

        table_row(&t);
        (void) table_set(&t, 0, "<%u>", tone);
        cell = table_set(&t, 1, "%u", tone);
        cell->tone = tone;
        table_replay(cell, "run \"%u\" > file", tone);
        table_details(cell, "n = %u", tone);
    }
    table_html(&t, out);
    table_release(&t);
}

static char *make_page(void)
{
    static const char *const contents[] = {"one", "One", "two", "Two <2>", NULL};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    char *copy;

    page_begin(out, "A & B <c>", "What \"it\" is.");
    page_contents(out, contents);
    page_section(out, "one", "One", "Text & more.");
    for (int tone = TONE_PLAIN; tone <= TONE_QUIET; tone++) {
        page_badge(out, "green <1>", tone);
    }
    page_command(out, "run > file && echo \"done\"");
    put_table(out);
    page_fold(out, "More <1>");
    page_paragraph(out, "Folded.");
    page_fold_end(out);
    page_section_end(out);
    page_section(out, "two", "Two <2>", NULL);
    page_heading(out, "Plots & marks");
    put_plots(out);
    page_section_end(out);
    page_end(out);
    (void) fclose(out);
    copy = xstrdup(text);
    free(text);
    return copy;
}

static char *style_text(void)
{
    char *text = xstrdup("");

    for (const char *const *part = page_style; *part != NULL; part++) {
        char *longer;

        assert_true(asprintf(&longer, "%s%s", text, *part) >= 0);
        free(text);
        text = longer;
    }
    return text;
}

/* ------------------------------------------------------------------------------------------- */

/* Lines stay: a script in a <pre>, and the picture of a run in its frame, are read by them. */
static void test_page_escapes_text(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void) state;
    assert_non_null(out);
    page_escape(out, "<a href=\"x\">&amp;\x01\n\x7fµ–×'</a>");
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "&lt;a href=&quot;x&quot;&gt;&amp;amp; \n µ–×'&lt;/a&gt;");
    free(text);
}

static void test_page_prose_keeps_units_with_their_numbers(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void) state;
    assert_non_null(out);
    page_prose(out, "99 % in 15 ms, 3 s or 2 sets; <b> 7 %");
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "99&nbsp;% in 15&nbsp;ms, 3&nbsp;s or 2 sets; &lt;b&gt; 7&nbsp;%");
    free(text);
}

static bool is_void(const char *name)
{
    static const char *const names[] = {"meta", "link", "br", "!DOCTYPE"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Every element that begins ends, in order. Attribute values hold no '>': it is escaped. */
static void test_page_elements_match(void **state)
{
    char *page = make_page();
    char open[DEPTH_MAX][NAME_MAX];
    uint32_t depth = 0;

    (void) state;
    for (const char *at = strchr(page, '<'); at != NULL; at = strchr(at, '<')) {
        const char *end = strchr(at, '>');
        char name[NAME_MAX] = "";
        bool closes = at[1] == '/';

        assert_non_null(end);
        assert_true(sscanf(at + 1 + closes, "%31[a-zA-Z0-9!]", name) == 1);
        if (closes) {
            assert_true(depth > 0);
            depth--;
            assert_string_equal(open[depth], name);
        } else if (end[-1] != '/' && !is_void(name)) {
            assert_true(depth < DEPTH_MAX);
            (void) strcpy(open[depth], name);
            depth++;
        }
        at = end;
        if (strcmp(name, "style") == 0 && !closes) {
            at = strstr(at, "</style>");
        }
    }
    assert_int_equal(depth, 0);
    free(page);
}

static void test_page_stands_alone(void **state)
{
    static const char *const never[] = {"<script", "src=", "url(", "http:", "https:", "@import"};
    char *page = make_page();

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        assert_null(strstr(page, never[i]));
    }
    assert_non_null(strstr(page, "default-src 'none'"));
    assert_non_null(strstr(page, "<html lang=\"en\">"));
    assert_non_null(strstr(page, "<meta charset=\"utf-8\">"));
    assert_non_null(strstr(page, "name=\"viewport\""));
    free(page);
}

static void test_page_headings_are_in_order(void **state)
{
    char *page = make_page();
    uint32_t before = 0;
    uint32_t firsts = 0;

    (void) state;
    for (const char *at = strstr(page, "<h"); at != NULL; at = strstr(at + 1, "<h")) {
        uint32_t level;

        if (at[2] < '1' || at[2] > '6') {
            continue;
        }
        level = (uint32_t) (at[2] - '0');
        assert_true(level <= before + 1);
        firsts += level == 1;
        before = level;
    }
    assert_int_equal(firsts, 1);
    free(page);
}

static void test_page_ids_are_unique_and_references_are_met(void **state)
{
    static const char *const references[] = {"aria-labelledby=\"", "aria-describedby=\"",
                                             "href=\"#"};
    char *page = make_page();
    char ids[IDS_MAX][NAME_MAX];
    uint32_t count = 0;

    (void) state;
    for (const char *at = strstr(page, " id=\""); at != NULL; at = strstr(at + 1, " id=\"")) {
        assert_true(count < IDS_MAX);
        assert_true(sscanf(at, " id=\"%31[^\"]", ids[count]) == 1);
        for (uint32_t i = 0; i < count; i++) {
            assert_string_not_equal(ids[i], ids[count]);
        }
        count++;
    }
    for (size_t r = 0; r < ARRAY_SIZE(references); r++) {
        const char *name = references[r];

        for (const char *at = strstr(page, name); at != NULL; at = strstr(at + 1, name)) {
            char id[NAME_MAX];
            bool met = false;

            assert_true(sscanf(at + strlen(name), "%31[^\"]", id) == 1);
            for (uint32_t i = 0; i < count; i++) {
                met = met || strcmp(ids[i], id) == 0;
            }
            assert_true(met);
        }
    }
    free(page);
}

/* Whether a style has a rule for a class: its name, and then no more of a name. */
static bool has_rule(const char *style, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = strstr(style, name); at != NULL; at = strstr(at + 1, name)) {
        if (at[-1] == '.' && strchr(" ,:{>.[", at[size]) != NULL) {
            return true;
        }
    }
    return strcmp(name, "plain") == 0; /* the badge as it is */
}

static void test_page_classes_have_a_style(void **state)
{
    char *page = make_page();
    char *style = style_text();
    const char *body = strstr(page, "<body>");

    (void) state;
    assert_non_null(body);
    for (const char *at = strstr(body, " class=\""); at != NULL; at = strstr(at + 1, " class=\"")) {
        const char *from = at + strlen(" class=\"");

        while (*from != '"') {
            char name[NAME_MAX] = "";
            size_t size = strcspn(from, " \"");

            (void) strncat(name, from, u64_min(size, NAME_MAX - 1));
            if (!has_rule(style, name)) {
                fail_msg("no style for %s", name);
            }
            from += size;
            from += *from == ' ';
        }
    }
    free(style);
    free(page);
}

/* ------------------------------------------------------------------------------------------- */
/* Contrast, WCAG 2.2, 1.4.3 and 1.4.11 */

static double channel(uint32_t value)
{
    double c = value / 255.0;

    return c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4);
}

/* The luminance of a variable in a part of the style that begins at `from`. */
static double luminance(const char *from, const char *name)
{
    char *wanted;
    const char *at;
    char digits[8];
    uint32_t rgb;

    assert_true(asprintf(&wanted, "--%s:#", name) > 0);
    at = strstr(from, wanted);
    assert_non_null(at);
    at += strlen(wanted);
    free(wanted);
    if (strspn(at, "0123456789abcdef") == 3) {
        const char twice[] = {at[0], at[0], at[1], at[1], at[2], at[2], '\0'};

        (void) strcpy(digits, twice);
    } else {
        assert_int_equal(strspn(at, "0123456789abcdef"), 6);
        memcpy(digits, at, 6);
        digits[6] = '\0';
    }
    rgb = (uint32_t) strtoul(digits, NULL, 16);
    return 0.2126 * channel(rgb >> 16) + 0.7152 * channel((rgb >> 8) & 0xff) +
           0.0722 * channel(rgb & 0xff);
}

static double contrast(const char *from, const char *one, const char *two)
{
    double a = luminance(from, one) + 0.05;
    double b = luminance(from, two) + 0.05;

    return fmax(a, b) / fmin(a, b);
}

static void test_page_colours_have_contrast(void **state)
{
    static const char *const themes[] = {":root{", "prefers-color-scheme:dark", "@media print"};
    static const char *const texts[] = {"ink", "dim", "link", "good", "bad", "warn"};
    static const char *const lines[] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "span"};
    char *style = style_text();

    (void) state;
    for (size_t t = 0; t < ARRAY_SIZE(themes); t++) {
        const char *from = strstr(style, themes[t]);

        assert_non_null(from);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
            assert_true(contrast(from, texts[i], "bg") >= 4.5);
            assert_true(contrast(from, texts[i], "card") >= 4.5);
        }
        assert_true(contrast(from, "good", "goodbg") >= 4.5);
        assert_true(contrast(from, "bad", "badbg") >= 4.5);
        assert_true(contrast(from, "warn", "warnbg") >= 4.5);
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
            assert_true(contrast(from, lines[i], "bg") >= 3);
        }
    }
    free(style);
}

static void test_page_is_the_same_twice(void **state)
{
    char *one = make_page();
    char *two = make_page();

    (void) state;
    assert_string_equal(one, two);
    free(one);
    free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_escapes_text),
        cmocka_unit_test(test_page_prose_keeps_units_with_their_numbers),
        cmocka_unit_test(test_page_elements_match),
        cmocka_unit_test(test_page_stands_alone),
        cmocka_unit_test(test_page_headings_are_in_order),
        cmocka_unit_test(test_page_ids_are_unique_and_references_are_met),
        cmocka_unit_test(test_page_classes_have_a_style),
        cmocka_unit_test(test_page_colours_have_contrast),
        cmocka_unit_test(test_page_is_the_same_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
