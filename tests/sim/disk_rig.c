/*
 * disk_rig.c - for the tests of the model disk: a disk, a store on it, and rows with numbers.
 */

#include "tests/sim/disk_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/enc.h"
#include "base/mem.h"

const char disk_rig_log[] = "node/log";
const char disk_rig_state[] = "node/state";

struct rig *disk_rig_new(uint64_t seed, uint64_t buffer_bytes)
{
    struct rig *r = xcalloc(1, sizeof *r);
    const struct sim_disk_options options = {.seed = seed, .buffer_bytes = buffer_bytes};
    r->disk = sim_disk_new(&options);
    buf_init(&r->error, 4096);
    buf_init(&r->value, 1 << 20);
    return r;
}

int disk_rig_try_open(struct rig *r, const char *path, bool create)
{
    const struct store_options options = {.create = create, .device = r->disk};
    store_close(r->store);
    r->store = NULL;
    buf_clear(&r->error);
    return store_open(&sim_store_ops, path, &options, &r->store, &r->error);
}

void disk_rig_open(struct rig *r, const char *path, bool create)
{
    int rc = disk_rig_try_open(r, path, create);
    ASSERT(rc == OK);
}

void disk_rig_close(struct rig *r)
{
    store_close(r->store);
    r->store = NULL;
}

void disk_rig_free(struct rig *r)
{
    disk_rig_close(r);
    sim_disk_free(r->disk);
    buf_release(&r->error);
    buf_release(&r->value);
    free(r);
}

bool disk_rig_error_mentions(struct rig *r, const char *text)
{
    struct bytes e = buf_bytes(&r->error);
    return memmem(e.data, e.size, text, strlen(text)) != NULL;
}

struct sim_disk_counts disk_rig_counts(struct rig *r)
{
    struct sim_disk_counts c;
    sim_disk_counts(r->disk, &c);
    return c;
}

/* Row n: big-endian n -> `size` bytes of n. */
int disk_rig_put(struct rig *r, uint32_t n, size_t size, bool sync)
{
    uint8_t key[4];
    uint8_t *value = xmalloc(size + 1);
    struct store_batch *batch = store_batch_new();
    enc_put_be32(key, n);
    memset(value, (int) (n % 251), size);
    store_batch_put(batch, bytes_of(key, sizeof key), bytes_of(value, size));
    int rc = store_write(r->store, batch, sync);
    store_batch_free(batch);
    free(value);
    return rc;
}

void disk_rig_put_rows(struct rig *r, uint32_t first, uint32_t count)
{
    for (uint32_t n = first; n < first + count; n++) {
        int rc = disk_rig_put(r, n, RIG_VALUE_SIZE, true);
        ASSERT(rc == OK);
    }
}

int disk_rig_get(struct rig *r, uint32_t n)
{
    uint8_t key[4];
    enc_put_be32(key, n);
    return store_get(r->store, bytes_of(key, sizeof key), &r->value);
}

/* How many rows there are, or the error; *ret_gap: a number below the highest is missing. */
static int read_rows(struct rig *r, bool *ret_gap)
{
    struct store_iter *it = NULL;
    uint32_t next = 0;
    int count = 0;
    *ret_gap = false;
    int rc = store_iter_new(r->store, true, &it);
    ASSERT(rc == OK);
    for (store_iter_seek(it, bytes_str("")); store_iter_valid(it); store_iter_next(it)) {
        uint32_t n = enc_get_be32(store_iter_key(it).data);
        struct bytes value = store_iter_value(it);
        ASSERT(value.size == 0 || value.data[value.size - 1] == n % 251);
        *ret_gap = *ret_gap || n != next;
        next = n + 1;
        count++;
    }
    rc = store_iter_error(it);
    store_iter_free(it);
    return rc != OK ? rc : count;
}

/* How many rows there are, all from 0 on; -1 when there is a gap; or the error of opening or
 * reading. */
int disk_rig_reopen_rows(struct rig *r, const char *path)
{
    bool gap = false;
    int rc = disk_rig_try_open(r, path, false);
    if (rc != OK) {
        return rc;
    }
    int rows = read_rows(r, &gap);
    return gap ? -1 : rows;
}
