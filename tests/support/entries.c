/*
 * entries.c - values, entries and log writes for tests of log stores.
 */

#include "tests/support/entries.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"

static uint8_t pattern(uint64_t number, size_t i)
{
    return (uint8_t) (number * 31 + i * 7 + i / 256);
}

struct value *value_numbered(uint64_t number, size_t size)
{
    if (number == 0) {
        return value_new_noop();
    }
    ASSERT(size >= 8);
    uint8_t *payload = xmalloc(size);
    enc_put_u64(payload, number);
    for (size_t i = 8; i < size; i++) {
        payload[i] = pattern(number, i);
    }
    struct value_builder b;
    const struct command command = {.tag = 1,
                                    .session = 7,
                                    .sequence = number,
                                    .payload = bytes_of(payload, size)};
    value_builder_init(&b, SIZE_MAX / 2, 1);
    int rc = value_builder_add(&b, &command);
    ASSERT(rc == OK);
    struct value *v = value_builder_detach(&b);
    value_builder_release(&b);
    free(payload);
    return v;
}

uint64_t value_number(const struct value *value)
{
    size_t cursor = 0;
    struct command command;
    if (!value_next(value, &cursor, &command)) {
        return value->kind == VALUE_NOOP ? 0 : UINT64_MAX;
    }
    if (command.payload.size < 8) {
        return UINT64_MAX;
    }
    uint64_t number = enc_get_u64(command.payload.data);
    for (size_t i = 8; i < command.payload.size; i++) {
        if (command.payload.data[i] != pattern(number, i)) {
            return UINT64_MAX;
        }
    }
    return command.sequence == number && command.tag == 1 ? number : UINT64_MAX;
}

void write_entry(struct log_write *w, struct log_pos pos, uint64_t number, size_t size)
{
    struct value *value = value_numbered(number, size);
    const struct entry entry = {.index = pos.index, .epoch = pos.epoch, .value = value};
    log_write_add(w, &entry);
    value_unref(value);
}

uint64_t seed_offset(void)
{
    const char *text = getenv("SYNOD_SEED");
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}
