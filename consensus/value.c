/*
 * value.c - immutable batches of commands: checks, references, walking, building.
 */

#include "consensus/value.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include "base/mem.h"

uint32_t value_crc(uint8_t kind, uint32_t count, struct bytes bytes)
{
    uint8_t head[5];
    enc_put_u8(head, kind);
    enc_put_u32(head + 1, count);
    return crc32c_bytes(crc32c(0, head, sizeof head), bytes);
}

static struct value *value_make(const struct value_head *head, struct bytes bytes,
                                struct blob *owner)
{
    struct value *v = xmalloc(sizeof *v);
    v->refs = 1;
    v->crc = head->crc;
    v->count = head->count;
    v->kind = head->kind;
    v->bytes = bytes;
    v->owner = owner;
    return v;
}

struct value *value_new_noop(void)
{
    struct bytes none = bytes_of(NULL, 0);
    struct value_head head = {.kind = VALUE_NOOP,
                              .count = 0,
                              .crc = value_crc(VALUE_NOOP, 0, none)};
    return value_make(&head, none, NULL);
}

/* Parses one command at *cursor. False: the bytes do not hold a whole one. */
static bool command_parse(struct bytes bytes, size_t *cursor, struct command *ret_command)
{
    ASSERT(*cursor <= bytes.size);
    size_t left = bytes.size - *cursor;
    if (left < VALUE_COMMAND_HEADER_SIZE) {
        return false;
    }
    const uint8_t *p = bytes.data + *cursor;
    size_t size = enc_get_u32(p + 17);
    if (left - VALUE_COMMAND_HEADER_SIZE < size) {
        return false;
    }
    ret_command->tag = enc_get_u8(p);
    ret_command->session = enc_get_u64(p + 1);
    ret_command->sequence = enc_get_u64(p + 9);
    ret_command->payload = bytes_of(p + VALUE_COMMAND_HEADER_SIZE, size);
    *cursor += VALUE_COMMAND_HEADER_SIZE + size;
    return true;
}

/* Do exactly `count` commands fill the bytes? */
static bool commands_fill(struct bytes bytes, uint32_t count)
{
    size_t cursor = 0;
    struct command command;
    for (uint32_t i = 0; i < count; i++) {
        if (!command_parse(bytes, &cursor, &command)) {
            return false;
        }
    }
    return cursor == bytes.size;
}

int value_new_adopt(const struct value_head *head, struct bytes bytes, struct blob *owner,
                    struct value **ret_value)
{
    if (owner == NULL && bytes.size > 0) {
        return ERR_INVALID;
    }
    if (head->crc != value_crc(head->kind, head->count, bytes)) {
        return ERR_CORRUPT;
    }
    switch (head->kind) {
    case VALUE_NOOP:
        if (head->count != 0 || bytes.size != 0) {
            return ERR_MALFORMED;
        }
        break;
    case VALUE_COMMANDS:
        if (head->count == 0 || !commands_fill(bytes, head->count)) {
            return ERR_MALFORMED;
        }
        break;
    case VALUE_CONFIG: /* reserved: opaque bytes, no commands */
        if (head->count != 0) {
            return ERR_MALFORMED;
        }
        break;
    default:
        return ERR_MALFORMED;
    }
    *ret_value = value_make(head, bytes, owner);
    return OK;
}

struct value *value_ref(struct value *v)
{
    ASSERT(v->refs > 0);
    ASSERT(v->refs < UINT32_MAX);
    v->refs++;
    return v;
}

void value_unref(struct value *v)
{
    if (v == NULL) {
        return;
    }
    ASSERT(v->refs > 0);
    v->refs--;
    if (v->refs == 0) {
        blob_unref(v->owner);
        free(v);
    }
}

bool value_next(const struct value *v, size_t *cursor, struct command *ret_command)
{
    if (v->kind != VALUE_COMMANDS || *cursor == v->bytes.size) {
        return false;
    }
    bool whole = command_parse(v->bytes, cursor, ret_command);
    ASSERT(whole); /* checked when the value was made */
    return true;
}

void value_builder_init(struct value_builder *b, size_t size_max, uint32_t count_max)
{
    ASSERT(count_max > 0);
    buf_init(&b->buf,
             SIZE_MAX); /* the bound is size_max, checked here: one command may exceed it */
    b->size_max = size_max;
    b->count = 0;
    b->count_max = count_max;
}

void value_builder_release(struct value_builder *b)
{
    buf_release(&b->buf);
    b->count = 0;
}

bool value_builder_fits(const struct value_builder *b, size_t payload_size)
{
    if (payload_size > UINT32_MAX) {
        return false;
    }
    if (b->count == 0) {
        return true;
    }
    size_t size = payload_size + VALUE_COMMAND_HEADER_SIZE;
    return b->count < b->count_max && b->buf.size < b->size_max &&
           size <= b->size_max - b->buf.size;
}

int value_builder_add(struct value_builder *b, const struct command *command)
{
    if (!value_builder_fits(b, command->payload.size)) {
        return ERR_LIMIT;
    }
    uint8_t head[VALUE_COMMAND_HEADER_SIZE];
    enc_put_u8(head, command->tag);
    enc_put_u64(head + 1, command->session);
    enc_put_u64(head + 9, command->sequence);
    enc_put_u32(head + 17, (uint32_t) command->payload.size);
    int err = buf_reserve(&b->buf, sizeof head + command->payload.size);
    if (err != OK) {
        return err;
    }
    err = buf_append(&b->buf, head, sizeof head);
    ASSERT(err == OK); /* reserved above */
    err = buf_append_bytes(&b->buf, command->payload);
    ASSERT(err == OK); /* reserved above */
    b->count++;
    return OK;
}

struct value *value_builder_detach(struct value_builder *b)
{
    if (b->count == 0) {
        return NULL;
    }
    struct blob *owner = blob_copy(buf_bytes(&b->buf));
    struct value_head head = {.kind = VALUE_COMMANDS, .count = b->count};
    head.crc = value_crc(head.kind, head.count, blob_bytes(owner));
    struct value *v = value_make(&head, blob_bytes(owner), owner);
    buf_clear(&b->buf);
    b->count = 0;
    return v;
}
