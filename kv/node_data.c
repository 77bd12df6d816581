/*
 * node_data.c - see node_data.h.
 */
#include "kv/node_data.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "consensus/consensus.h"

static char *join(const char *dir, const char *name)
{
    size_t size = strlen(dir) + 1 + strlen(name) + 1;
    char *path = xmalloc(size);

    (void) snprintf(path, size, "%s/%s", dir, name); /* fits by construction */
    return path;
}

static bool exists(const struct node_data_options *o, const char *path)
{
    struct stat st;

    return o->exists != NULL ? o->exists(o->exists_ctx, path) : stat(path, &st) == 0;
}

/* Whether it is one; leaves errno alone if not. */
static bool is_dir(const char *path)
{
    int number = errno;
    struct stat st;
    bool is = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

    errno = number;
    return is;
}

/* Makes dir and its missing parents. */
static int make_dirs(const char *dir, struct buf *error)
{
    char *path = xstrdup(dir);
    int err = OK;

    for (char *p = path + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0') {
            continue;
        }
        *p = '\0';
        if (mkdir(path, 0755) != 0 && (errno != EEXIST || !is_dir(path))) {
            err = errno == ENOSPC ? ERR_NO_SPACE : ERR_IO;
            ERR_IGNORE(buf_printf(error,
                                  "data directory %s: cannot make %s: %s; give a directory this "
                                  "user can write to (--data-dir)",
                                  dir, path, strerror(errno)));
            break;
        }
        *p = c;
        if (c == '\0') {
            break;
        }
    }
    free(path);
    return err;
}

static int open_state(const struct node_data_options *o, bool create, struct node_data *data,
                      struct buf *error)
{
    const struct store_options options = {
        .write_buffer_size = o->state_write_buffer,
        .cache_size = o->state_cache,
        .create = create,
        .device = o->device,
    };
    char *path = join(o->dir, "state");
    int err = store_open(o->state_store, path, &options, &data->state, error);

    free(path);
    return err;
}

static int open_log(const struct node_data_options *o, bool create, struct node_data *data,
                    struct buf *error)
{
    const struct logstore_options options = {
        .write_buffer_size = o->log_write_buffer,
        .create = create ? o->identity : NULL,
        .device = o->device,
    };
    char *path = join(o->dir, "log");
    int err = logstore_open(o->log_store, path, &options, &data->log, error);

    free(path);
    return err;
}

static const char *engine_text(uint8_t id)
{
    const struct engine_ops *engine = engine_by_id(id);

    return engine == NULL ? "unknown" : engine_name(engine);
}

/* The directory must be that of this node of this cluster with this engine. */
static int check_identity(const struct node_data_options *o, const struct node_data *data,
                          struct buf *error)
{
    const struct identity *want = o->identity;
    struct identity have;
    int err = logstore_identity(data->log, &have);

    if (err != OK) {
        ERR_IGNORE(buf_printf(error, "data directory %s: identity cannot be read: %s", o->dir,
                              err_text(err)));
        return err;
    }
    if (have.cluster_id != want->cluster_id) {
        ERR_IGNORE(buf_printf(error,
                              "data directory %s belongs to cluster %016" PRIx64
                              ", the configuration names cluster %016" PRIx64
                              "; use that cluster's configuration or another directory",
                              o->dir, have.cluster_id, want->cluster_id));
        return ERR_MISMATCH;
    }
    if (have.node != want->node) {
        ERR_IGNORE(buf_printf(error,
                              "data directory %s belongs to node %u, this is node %u; give each "
                              "node a directory of its own (--data-dir)",
                              o->dir, have.node, want->node));
        return ERR_MISMATCH;
    }
    if (have.engine != want->engine) {
        ERR_IGNORE(buf_printf(error,
                              "data directory %s was created with engine %s, the configuration "
                              "says %s; an engine is chosen when a cluster is created and stays: "
                              "set engine: %s, or start a new cluster in an empty directory",
                              o->dir, engine_text(have.engine), engine_text(want->engine),
                              engine_text(have.engine)));
        return ERR_MISMATCH;
    }
    if (have.members_count != want->members_count ||
        memcmp(have.members, want->members, have.members_count * sizeof(have.members[0])) != 0) {
        ERR_IGNORE(buf_printf(error,
                              "data directory %s was created for %u members, the configuration "
                              "lists other ones (%u); the ids of the founding members must stay "
                              "as they were",
                              o->dir, have.members_count, want->members_count));
        return ERR_MISMATCH;
    }
    return OK;
}

/* Feeds every row of the state store to the state machine. */
static int restore_state(const struct node_data_options *o, struct node_data *data,
                         struct buf *error)
{
    struct store_iter *it = NULL;
    int err;

    data->mvcc = mvcc_new(o->mvcc);
    err = store_iter_new(data->state, true, &it);
    if (err != OK) {
        goto out;
    }
    for (store_iter_seek(it, (struct bytes){NULL, 0}); store_iter_valid(it); store_iter_next(it)) {
        err = mvcc_restore_row(data->mvcc, store_iter_key(it), store_iter_value(it));
        if (err != OK) {
            goto out;
        }
        data->rows++;
    }
    err = store_iter_error(it);
    if (err == OK) {
        err = mvcc_restore_done(data->mvcc);
    }
out:
    store_iter_free(it);
    if (err != OK) {
        ERR_IGNORE(buf_printf(error,
                              "data directory %s: state database, row %" PRIu64
                              ": %s %s; restore this node's directory from a backup, or remove it "
                              "and let the node join anew",
                              o->dir, data->rows + 1, err_text(err),
                              store_last_error(data->state)));
    }
    return err;
}

static int log_lost(const struct node_data_options *o, struct buf *error)
{
    ERR_IGNORE(buf_printf(error,
                          "data directory %s has a state database but no log: the log was lost, "
                          "and with it this node's votes and promises; restore the directory from "
                          "a copy",
                          o->dir));
    return ERR_CORRUPT;
}

/* D3: an empty directory under an old identity would vote and promise again what it has forgotten.
 */
static int refuse_to_create(const struct node_data_options *o, struct buf *error)
{
    char *state_path = join(o->dir, "state");
    bool has_state = exists(o, state_path);

    free(state_path);
    if (has_state) {
        return log_lost(o, error);
    }
    ERR_IGNORE(buf_printf(error,
                          "data directory %s has no data; if the cluster is new, start this node "
                          "with --init, once; if its data was lost, it must not come back empty: "
                          "restore the directory from a copy",
                          o->dir));
    return ERR_NOT_FOUND;
}

/* State first, log (with the identity) last: a directory that has a log is complete. */
static int create(const struct node_data_options *o, struct node_data *data, struct buf *error)
{
    char *state_path = join(o->dir, "state");
    bool half_made = exists(o, state_path);
    int err = o->device == NULL ? make_dirs(o->dir, error) : OK;

    free(state_path);
    if (err != OK) {
        return err;
    }
    err = open_state(o, !half_made, data, error);
    if (err != OK) {
        return err;
    }
    err = restore_state(o, data, error);
    if (err != OK) {
        return err;
    }
    if (half_made && data->rows > 0) {
        return log_lost(o, error);
    }
    data->created = true;
    return open_log(o, true, data, error);
}

static int open_existing(const struct node_data_options *o, struct node_data *data,
                         struct buf *error)
{
    int err = open_log(o, false, data, error);

    if (err != OK) {
        return err;
    }
    err = check_identity(o, data, error);
    if (err != OK) {
        return err;
    }
    err = open_state(o, false, data, error);
    if (err == ERR_NOT_FOUND) {
        buf_clear(error); /* it would say how to create one, and a state is not made anew */
        ERR_IGNORE(buf_printf(error,
                              "data directory %s has a log but no state database; restore it from "
                              "a copy, or remove this member and add it anew",
                              o->dir));
        return ERR_CORRUPT;
    }
    if (err != OK) {
        return err;
    }
    return restore_state(o, data, error);
}

int node_data_open(const struct node_data_options *o, struct node_data *ret_data, struct buf *error)
{
    struct node_data data = {0};
    char *log_path = join(o->dir, "log");
    uint64_t applied;
    int err;

    if (exists(o, log_path)) {
        err = open_existing(o, &data, error);
    } else if (o->create) {
        err = create(o, &data, error);
    } else {
        err = refuse_to_create(o, error);
    }
    if (err != OK) {
        goto out;
    }
    applied = mvcc_applied(data.mvcc);
    err = logstore_recover(data.log, applied == 0 ? 1 : applied, &data.recovery, error);
    if (err != OK) {
        goto out;
    }
    err = logstore_bump_incarnation(data.log, &data.incarnation);
    if (err != OK) {
        ERR_IGNORE(buf_printf(error, "data directory %s: %s: %s", o->dir, err_text(err),
                              logstore_last_error(data.log)));
        goto out;
    }
    *ret_data = data;
    data = (struct node_data){0};
out:
    node_data_close(&data);
    free(log_path);
    return err;
}

void node_data_close(struct node_data *data)
{
    logstore_recovery_release(&data->recovery);
    mvcc_free(data->mvcc);
    store_close(data->state);
    logstore_close(data->log);
    *data = (struct node_data){0};
}
