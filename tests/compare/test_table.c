/*
 * test_table.c - the four forms of a table, and numbers as people read them.
 */
#include "tests/compare/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"

struct output {
    FILE *file;
    char *text;
    size_t size;
};

static FILE *output_begin(struct output *o)
{
    o->text = NULL;
    o->file = open_memstream(&o->text, &o->size);
    assert_non_null(o->file);
    return o->file;
}

static const char *output_end(struct output *o)
{
    assert_int_equal(fclose(o->file), 0);
    return o->text;
}

static void make(struct table *t)
{
    struct table_cell *cell;

    table_init(t, "Elections");
    table_column(t, "engine", false);
    table_column(t, "median", true);
    table_column(t, "verdict of the checker", false);
    table_row(t);
    (void) table_set(t, 0, "raft");
    cell = table_set(t, 1, "287 ms");
    cell->value = 287000;
    table_replay(cell, "synod-sim figures e1 --seed %d", 7);
    table_details(cell, "n = 1000, 95 %% in 280 to 290 ms");
    table_set(t, 2, "green")->tone = TONE_GOOD;
    table_row(t);
    (void) table_set(t, 0, "paxos");
    (void) table_set(t, 1, "-");
    table_set(t, 2, "a \"b\", c")->tone = TONE_BAD;
}

static void test_table_time_has_three_digits(void **state)
{
    static const struct {
        double us;
        const char *text;
    } cases[] = {{0, "0 s"},           {35, "35 µs"},     {0.5, "0.50 µs"},   {999, "999 µs"},
                 {999.6, "1.00 ms"},   {1000, "1.00 ms"}, {12345, "12.3 ms"}, {287000, "287 ms"},
                 {9996, "10.0 ms"},    {99960, "100 ms"}, {999499, "999 ms"}, {999500, "1.00 s"},
                 {1240000, "1.24 s"},  {60e6, "60.0 s"},  {287e6, "287 s"},   {1.2e9, "1,200 s"},
                 {-35000, "-35.0 ms"}, {INFINITY, "∞"},   {NAN, "-"}};
    char text[TABLE_NUMBER_MAX];

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        table_time(cases[i].us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_table_number_has_three_digits(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "0"},
                 {2, "2"},
                 {1.98, "1.98"},
                 {0.13, "0.13"},
                 {0.0996, "0.10"},
                 {0.052, "0.052"},
                 {0.00041, "0.00041"},
                 {1.25e-7, "1.2e-07"},
                 {9.996, "10.0"},
                 {12.34, "12.3"},
                 {123.4, "123"},
                 {999.7, "1,000"},
                 {1234, "1,234"},
                 {1234567.8, "1,234,568"},
                 {-1234, "-1,234"},
                 {1e15, "1,000,000,000,000,000"},
                 {1e18, "1.0e+18"},
                 {-INFINITY, "-∞"},
                 {NAN, "-"}};
    char text[TABLE_NUMBER_MAX];

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        table_number(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_table_decimals_are_as_many_as_asked(void **state)
{
    char text[TABLE_NUMBER_MAX];

    (void) state;
    table_decimals(2, 2, text);
    assert_string_equal(text, "2.00");
    table_decimals(1234.5, 1, text);
    assert_string_equal(text, "1,234.5");
    table_decimals(-0.001, 2, text);
    assert_string_equal(text, "0.00");
    table_decimals(0.999, 2, text);
    assert_string_equal(text, "1.00");
    table_decimals(-99999.123456789, 9, text);
    assert_string_equal(text, "-99,999.123456789");
    table_decimals(1e17, 0, text);
    assert_string_equal(text, "1.0e+17");
}

static void test_table_text_is_aligned(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    make(&t);
    table_note(&t, "%s", "seeds 1 to 1000, all of them green but one");
    table_text(&t, output_begin(&o), 30, false);
    assert_string_equal(output_end(&o), "Elections\n"
                                        "                verdict of\n"
                                        "engine  median  the checker\n"
                                        "------  ------  -----------\n"
                                        "raft    287 ms  green\n"
                                        "paxos        -  a \"b\", c\n"
                                        "seeds 1 to 1000, all of them\n"
                                        "green but one\n");
    free(o.text);
    table_release(&t);
}

static void test_table_text_counts_characters_not_bytes(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    table_init(&t, NULL);
    table_column(&t, "a", false);
    table_column(&t, "b", true);
    table_row(&t);
    (void) table_set(&t, 0, "3–5 ×");
    (void) table_set(&t, 1, "35 µs");
    table_row(&t);
    (void) table_set(&t, 0, "12345");
    (void) table_set(&t, 1, "9 ms");
    table_text(&t, output_begin(&o), 0, false);
    assert_string_equal(output_end(&o), "a          b\n"
                                        "-----  -----\n"
                                        "3–5 ×  35 µs\n"
                                        "12345   9 ms\n");
    free(o.text);
    table_release(&t);
}

static void test_table_text_too_wide_is_cut_into_blocks(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    table_init(&t, NULL);
    table_column(&t, "row", false);
    for (uint32_t c = 1; c <= 5; c++) {
        char title[] = "col N";

        title[4] = (char) ('0' + c);
        table_column(&t, title, true);
    }
    table_row(&t);
    (void) table_set(&t, 0, "one");
    for (uint32_t c = 1; c <= 5; c++) {
        (void) table_set(&t, c, "%u", c == 4 ? 100000000 : c);
    }
    table_text(&t, output_begin(&o), 18, false);
    assert_string_equal(output_end(&o), "row  col 1  col 2\n"
                                        "---  -----  -----\n"
                                        "one      1      2\n"
                                        "\n"
                                        "row  col 3\n"
                                        "---  -----\n"
                                        "one      3\n"
                                        "\n"
                                        "row      col 4\n"
                                        "---  ---------\n"
                                        "one  100000000\n"
                                        "\n"
                                        "row  col 5\n"
                                        "---  -----\n"
                                        "one      5\n");
    free(o.text);
    /* A third column would need 24. */
    table_text(&t, output_begin(&o), 23, false);
    assert_non_null(strstr(output_end(&o), "row  col 1  col 2\n"));
    free(o.text);
    table_text(&t, output_begin(&o), 24, false);
    assert_non_null(strstr(output_end(&o), "row  col 1  col 2  col 3\n"));
    free(o.text);
    /* Narrower than a column: each column in a block, none lost. */
    table_text(&t, output_begin(&o), 1, false);
    assert_non_null(strstr(output_end(&o), "one      5\n"));
    free(o.text);
    table_release(&t);
}

static void test_table_text_repeats_as_many_columns_as_name_a_row(void **state)
{
    static const char *const engines[] = {"raft", "paxos"};
    struct table t;
    struct output o;

    (void) state;
    table_init(&t, NULL);
    table_column(&t, "fault", false);
    table_column(&t, "engine", false);
    table_column(&t, "ok", true);
    table_column(&t, "lost", true);
    for (uint32_t r = 0; r < 2; r++) {
        table_row(&t);
        (void) table_set(&t, 0, "cut");
        (void) table_set(&t, 1, "%s", engines[r]);
        (void) table_set(&t, 2, "%u", r);
        (void) table_set(&t, 3, "0");
    }
    table_text(&t, output_begin(&o), 17, false);
    assert_string_equal(output_end(&o), "fault  engine  ok\n"
                                        "-----  ------  --\n"
                                        "cut    raft     0\n"
                                        "cut    paxos    1\n"
                                        "\n"
                                        "fault  engine  lost\n"
                                        "-----  ------  ----\n"
                                        "cut    raft       0\n"
                                        "cut    paxos      0\n");
    free(o.text);
    table_release(&t);
}

static void test_table_text_has_colours_only_when_asked(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    make(&t);
    table_text(&t, output_begin(&o), 80, false);
    assert_null(strchr(output_end(&o), '\033'));
    free(o.text);
    table_text(&t, output_begin(&o), 80, true);
    assert_non_null(strstr(output_end(&o), "287 ms  \033[32mgreen\033[0m\n"));
    assert_non_null(strstr(o.text, "-  \033[1;31ma \"b\", c\033[0m\n"));
    free(o.text);
    table_release(&t);
}

static void test_table_text_shows_no_control_characters(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    table_init(&t, "a\033[2Jb");
    table_column(&t, "c", false);
    table_row(&t);
    (void) table_set(&t, 0, "d\ne\tf");
    table_text(&t, output_begin(&o), 80, false);
    assert_string_equal(output_end(&o), "a [2Jb\nc\n-----\nd e f\n");
    free(o.text);
    table_release(&t);
}

static void test_table_without_rows_or_columns_is_whole(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    table_init(&t, NULL);
    table_text(&t, output_begin(&o), 80, false);
    assert_string_equal(output_end(&o), "");
    free(o.text);
    table_column(&t, "only", true);
    table_text(&t, output_begin(&o), 80, false);
    assert_string_equal(output_end(&o), "only\n----\n");
    free(o.text);
    table_json(&t, output_begin(&o));
    assert_string_equal(output_end(&o), "[]");
    free(o.text);
    table_csv(&t, output_begin(&o));
    assert_string_equal(output_end(&o), "only\r\n");
    free(o.text);
    table_release(&t);
}

static void test_table_csv_quotes_as_rfc_4180(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    make(&t);
    table_row(&t);
    (void) table_set(&t, 0, "two\nlines");
    (void) table_set(&t, 1, "a\rb");
    table_csv(&t, output_begin(&o));
    assert_string_equal(output_end(&o), "engine,median,verdict of the checker\r\n"
                                        "raft,287000,green\r\n"
                                        "paxos,,\"a \"\"b\"\", c\"\r\n"
                                        "\"two\nlines\",\"a\rb\",\r\n");
    free(o.text);
    table_release(&t);
}

static void test_table_json_is_read_back(void **state)
{
    static const double reals[] = {0.1, 0.1 + 0.2, 1.0 / 3, 1e300, 5e-324, -0.25, 123456789.125};
    struct table t;
    struct output o;
    json_t *root;
    json_t *row;

    (void) state;
    make(&t);
    for (size_t i = 0; i < ARRAY_SIZE(reals); i++) {
        table_row(&t);
        (void) table_set(&t, 0, "bad \xff, \t, \"q\" \\");
        table_set(&t, 1, "x")->value = reals[i];
    }
    table_json(&t, output_begin(&o));
    root = json_loads(output_end(&o), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(json_array_size(root), 2 + ARRAY_SIZE(reals));
    row = json_array_get(root, 0);
    assert_string_equal(json_string_value(json_object_get(row, "engine")), "raft");
    assert_true(json_number_value(json_object_get(row, "median")) == 287000);
    assert_string_equal(json_string_value(
                            json_object_get(json_object_get(row, "replay"), "median")),
                        "synod-sim figures e1 --seed 7");
    row = json_array_get(root, 1);
    assert_true(json_is_null(json_object_get(row, "median")));
    assert_null(json_object_get(row, "replay"));
    for (size_t i = 0; i < ARRAY_SIZE(reals); i++) {
        row = json_array_get(root, 2 + i);
        assert_true(json_number_value(json_object_get(row, "median")) == reals[i]);
        assert_string_equal(json_string_value(json_object_get(row, "engine")),
                            "bad \xef\xbf\xbd, \t, \"q\" \\");
    }
    json_decref(root);
    free(o.text);
    table_release(&t);
}

static void test_table_json_keys_are_unique(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    table_init(&t, NULL);
    table_column(&t, "x", true);
    table_column(&t, "replay", true);
    table_column(&t, "x", true);
    table_row(&t);
    table_replay(table_set(&t, 0, "1"), "run");
    table_set(&t, 2, "2")->value = 2;
    table_json(&t, output_begin(&o));
    assert_string_equal(
        output_end(&o),
        "[\n{\"x\":\"1\",\"replay 2\":null,\"x 2\":2,\"replay\":{\"x\":\"run\"}}\n]");
    free(o.text);
    table_release(&t);
}

static void test_table_html_says_commands_without_a_mouse(void **state)
{
    struct table t;
    struct output o;

    (void) state;
    make(&t);
    table_html(&t, output_begin(&o));
    (void) output_end(&o);
    assert_non_null(strstr(o.text, "<caption><span>Elections</span></caption>"));
    assert_non_null(strstr(o.text, "<th scope=\"col\" class=\"n\">median</th>"));
    assert_non_null(strstr(o.text, ">verdict of<br>the checker</th>"));
    assert_non_null(strstr(o.text, "<th scope=\"row\">raft</th>"));
    assert_non_null(strstr(o.text, "<td class=\"n\" title=\"n = 1000, 95 % in 280 to 290 ms&#10;"
                                   "synod-sim figures e1 --seed 7\">287 ms</td>"));
    assert_non_null(strstr(o.text, "<td class=\"bad\">a &quot;b&quot;, c</td>"));
    assert_non_null(strstr(o.text, "<dt>raft</dt><dd><span>median: 287 ms <span class=\"details\">"
                                   "n = 1000, 95 % in 280 to 290 ms</span></span>"
                                   "<code>synod-sim figures e1 --seed 7</code></dd>"));
    assert_null(strstr(o.text, "<dt>paxos</dt>"));
    free(o.text);
    table_release(&t);
}

static void test_table_html_neighbours_share_a_command(void **state)
{
    struct table t;
    struct output o;
    struct table_cell *cell;

    (void) state;
    table_init(&t, "T<1>");
    table_column(&t, "fault", false);
    table_column(&t, "engine", false);
    table_column(&t, "ok", true);
    table_column(&t, "lost", true);
    table_column(&t, "p50", true);
    table_column(&t, "p99", true);
    table_row(&t);
    (void) table_set(&t, 0, "cut & heal");
    (void) table_set(&t, 1, "raft");
    table_replay(table_set(&t, 2, "10"), "run 1 > x");
    table_replay(table_set(&t, 3, "0"), "run 1 > x");
    cell = table_set(&t, 4, "7");
    table_replay(cell, "run 1 > x");
    table_details(cell, "n = 7");
    table_replay(table_set(&t, 5, "8"), "run 2");
    table_row(&t);
    (void) table_set(&t, 0, "cut & heal");
    (void) table_set(&t, 1, "paxos");
    table_html(&t, output_begin(&o));
    (void) output_end(&o);
    assert_non_null(strstr(o.text, "aria-label=\"T&lt;1&gt;\""));
    assert_non_null(strstr(o.text, "<dt>cut &amp; heal, raft</dt><dd><span>ok: 10, lost: 0</span>"
                                   "<span>p50: 7 <span class=\"details\">n = 7</span></span>"
                                   "<code>run 1 &gt; x</code></dd>\n"
                                   "<dd><span>p99: 8</span><code>run 2</code></dd>"));
    free(o.text);
    table_release(&t);
}

static void test_table_cells_are_replaced(void **state)
{
    struct table t;
    struct table_cell *cell;

    (void) state;
    table_init(&t, NULL);
    table_column(&t, "a", false);
    for (uint32_t i = 0; i < 100; i++) {
        table_row(&t);
        cell = table_set(&t, 0, "first");
        table_replay(cell, "one");
        table_details(cell, "one");
        cell = table_set(&t, 0, "row %u", i);
        table_replay(cell, "two");
        table_details(cell, "two");
    }
    assert_int_equal(t.rows, 100);
    assert_string_equal(t.cells[99].text, "row 99");
    assert_string_equal(t.cells[0].replay, "two");
    assert_true(isnan(t.cells[0].value));
    table_release(&t);
    assert_int_equal(t.rows, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_time_has_three_digits),
        cmocka_unit_test(test_table_number_has_three_digits),
        cmocka_unit_test(test_table_decimals_are_as_many_as_asked),
        cmocka_unit_test(test_table_text_is_aligned),
        cmocka_unit_test(test_table_text_counts_characters_not_bytes),
        cmocka_unit_test(test_table_text_too_wide_is_cut_into_blocks),
        cmocka_unit_test(test_table_text_repeats_as_many_columns_as_name_a_row),
        cmocka_unit_test(test_table_text_has_colours_only_when_asked),
        cmocka_unit_test(test_table_text_shows_no_control_characters),
        cmocka_unit_test(test_table_without_rows_or_columns_is_whole),
        cmocka_unit_test(test_table_csv_quotes_as_rfc_4180),
        cmocka_unit_test(test_table_json_is_read_back),
        cmocka_unit_test(test_table_json_keys_are_unique),
        cmocka_unit_test(test_table_html_says_commands_without_a_mouse),
        cmocka_unit_test(test_table_html_neighbours_share_a_command),
        cmocka_unit_test(test_table_cells_are_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
