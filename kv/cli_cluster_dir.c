/*
 * cli_cluster_dir.c - the directory of a local cluster: configuration, pid files, logs, ports.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/cli_cluster.h"

enum { ERROR_MAX = 4096, CMDLINE_MAX = 8192, LOG_TAIL = 4096, NFTW_FILES = 16 };

#define CONFIG_NAME "cluster"
#define CONFIG_SUFFIX ".yaml"

/* ---- Directory ---- */

/* mkdir -p. */
static int make_directories(const char *path)
{
    char part[PATH_MAX];
    size_t size = strlen(path);

    if (size >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return ERR_INVALID;
    }
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            return ERR_IO;
        }
    }
    return OK;
}

int cluster_open(struct cluster *c, const char *dir, bool create)
{
    char absolute[PATH_MAX];

    c->dir_shown = dir;
    if (create && make_directories(dir) != OK) {
        return cli_fail(c->cli, CLI_LOCAL, "cannot make the directory %s: %s", dir,
                        strerror(errno));
    }
    if (realpath(dir, absolute) == NULL) {
        return cli_fail(c->cli, CLI_LOCAL,
                        "there is no cluster in %s (%s); 'synod cluster up' makes one, --dir says "
                        "where it is",
                        dir, strerror(errno));
    }
    c->dir = arena_strdup(&c->cli->arena, absolute);
    return CLI_OK;
}

void cluster_release(struct cluster *c)
{
    config_free(c->config);
    c->config = NULL;
}

const char *cluster_path(const struct cluster *c, const char *name, const char *suffix)
{
    size_t size = strlen(c->dir) + strlen(name) + strlen(suffix) + 2;
    char *path = arena_alloc(&c->cli->arena, size);

    (void) snprintf(path, size, "%s/%s%s", c->dir, name, suffix); /* it fits */
    return path;
}

bool cluster_exists(const struct cluster *c)
{
    return access(cluster_path(c, CONFIG_NAME, CONFIG_SUFFIX), F_OK) == 0;
}

/* ---- Configuration ---- */

int cluster_load(struct cluster *c)
{
    struct buf error;
    int code = CLI_OK;

    if (!cluster_exists(c)) {
        return cli_fail(c->cli, CLI_LOCAL,
                        "there is no cluster in %s; 'synod cluster up' makes one, --dir says where "
                        "it is",
                        c->dir_shown);
    }
    buf_init(&error, ERROR_MAX);
    if (config_load(cluster_path(c, CONFIG_NAME, CONFIG_SUFFIX), &c->config, &error) != OK) {
        code = cli_fail(c->cli, CLI_LOCAL, "%.*s", (int) error.size, (const char *) error.data);
    }
    buf_release(&error);
    return code;
}

static bool has_data(const struct cluster *c, const struct config *config)
{
    for (uint32_t i = 0; i < config->cluster.members_count; i++) {
        if (access(cluster_path(c, config->cluster.members[i].name, ""), F_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether data of a cluster `a` can be opened by nodes of `b`. */
static bool same_cluster(const struct config *a, const struct config *b)
{
    if (a->cluster.id != b->cluster.id || strcmp(a->cluster.engine, b->cluster.engine) != 0 ||
        a->cluster.members_count != b->cluster.members_count) {
        return false;
    }
    for (uint32_t i = 0; i < a->cluster.members_count; i++) {
        if (a->cluster.members[i].id != b->cluster.members[i].id ||
            strcmp(a->cluster.members[i].name, b->cluster.members[i].name) != 0) {
            return false;
        }
    }
    return true;
}

/* Replaces the file as a whole. */
static int write_file(struct cluster *c, const char *path, struct bytes text)
{
    const char *temporary = cluster_path(c, CONFIG_NAME, ".new");
    FILE *f = fopen(temporary, "w");
    bool good = f != NULL && fwrite(text.data, 1, text.size, f) == text.size;

    if (f != NULL && fclose(f) != 0) {
        good = false;
    }
    if (!good || rename(temporary, path) != 0) {
        return cli_fail(c->cli, CLI_LOCAL, "cannot write %s: %s", path, strerror(errno));
    }
    return CLI_OK;
}

/* What is there already, against what is wanted. */
static int check_old(struct cluster *c, const struct config *wanted, bool fresh)
{
    const struct config *old;
    int code;

    if (!cluster_exists(c)) {
        return CLI_OK;
    }
    code = cluster_load(c);
    if (code != CLI_OK) {
        return code;
    }
    old = c->config;
    if (fresh) {
        code = cluster_delete_data(c);
    } else if (has_data(c, old) && !same_cluster(old, wanted)) {
        code = cli_fail(c->cli, CLI_LOCAL,
                        "%s holds data of the cluster '%s' (engine %s, %u nodes), wanted is '%s' "
                        "(engine %s, %u nodes): --fresh deletes that data, --dir chooses another "
                        "directory",
                        c->dir_shown, old->cluster.name, old->cluster.engine,
                        old->cluster.members_count, wanted->cluster.name, wanted->cluster.engine,
                        wanted->cluster.members_count);
    }
    cluster_release(c);
    return code;
}

int cluster_configure(struct cluster *c, struct bytes text, const char *origin, bool fresh)
{
    struct config *wanted = NULL;
    struct buf error;
    int code = CLI_OK;

    buf_init(&error, ERROR_MAX);
    if (config_parse(text, origin, &wanted, &error) != OK) {
        code = cli_fail(c->cli, CLI_LOCAL, "%.*s", (int) error.size, (const char *) error.data);
    }
    buf_release(&error);
    if (code == CLI_OK) {
        code = check_old(c, wanted, fresh);
    }
    if (code == CLI_OK) {
        code = write_file(c, cluster_path(c, CONFIG_NAME, CONFIG_SUFFIX), text);
    }
    config_free(wanted);
    return code == CLI_OK ? cluster_load(c) : code;
}

/* ---- Deleting ---- */

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void) stat;
    (void) type;
    (void) ftw;
    return remove(path);
}

int cluster_delete_data(struct cluster *c)
{
    for (uint32_t i = 0; i < c->config->cluster.members_count; i++) {
        const char *name = c->config->cluster.members[i].name;
        const char *data = cluster_path(c, name, "");
        const char *log = cluster_path(c, name, ".log");

        /* Links are removed, never followed. */
        if (nftw(data, remove_one, NFTW_FILES, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
            return cli_fail(c->cli, CLI_LOCAL, "cannot delete %s: %s", data, strerror(errno));
        }
        if (unlink(log) != 0 && errno != ENOENT) {
            return cli_fail(c->cli, CLI_LOCAL, "cannot delete %s: %s", log, strerror(errno));
        }
    }
    return CLI_OK;
}

/* ---- Processes ---- */

/* Reads a small file; its size, or -1. The text is terminated. */
static ssize_t read_small(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;

    if (fd < 0) {
        return -1;
    }
    while (used < size - 1) {
        ssize_t n = read(fd, text + used, size - 1 - used);

        if (n > 0) {
            used += (size_t) n;
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    (void) close(fd); /* only read from */
    text[used] = '\0';
    return (ssize_t) used;
}

bool cluster_is_node(const struct cluster *c, const char *name, int64_t pid)
{
    char path[64];
    char cmdline[CMDLINE_MAX];
    const char *wanted = cluster_path(c, name, "");
    bool serve = false;
    bool data = false;
    ssize_t size;

    (void) snprintf(path, sizeof(path), "/proc/%" PRId64 "/cmdline", pid); /* it fits */
    size = read_small(path, cmdline, sizeof(cmdline));
    for (ssize_t i = 0; i < size; i += (ssize_t) strlen(cmdline + i) + 1) {
        serve = serve || strcmp(cmdline + i, "serve") == 0;
        data = data || strcmp(cmdline + i, wanted) == 0;
    }
    return serve && data;
}

int64_t cluster_pid(const struct cluster *c, const char *name)
{
    char text[32];
    int64_t pid = 0;

    if (read_small(cluster_path(c, name, ".pid"), text, sizeof(text)) <= 0) {
        return 0;
    }
    text[strcspn(text, "\n")] = '\0';
    if (cli_parse_number(text, &pid) != OK || pid <= 1 || pid > INT32_MAX ||
        !cluster_is_node(c, name, pid)) {
        cluster_remove_pid(c, name);
        return 0;
    }
    return pid;
}

int cluster_write_pid(const struct cluster *c, const char *name, int64_t pid)
{
    const char *path = cluster_path(c, name, ".pid");
    FILE *f = fopen(path, "w");
    bool good = f != NULL && fprintf(f, "%" PRId64 "\n", pid) > 0;

    if (f != NULL && fclose(f) != 0) {
        good = false;
    }
    return good ? CLI_OK
                : cli_fail(c->cli, CLI_LOCAL, "cannot write %s: %s", path, strerror(errno));
}

void cluster_remove_pid(const struct cluster *c, const char *name)
{
    (void) unlink(cluster_path(c, name, ".pid")); /* one that stays is not believed */
}

void cluster_last_log(const struct cluster *c, const char *name, char *text, size_t size)
{
    char tail[LOG_TAIL];
    FILE *f = fopen(cluster_path(c, name, ".log"), "r");
    size_t used = 0;
    char *line;

    text[0] = '\0';
    if (f == NULL) {
        return;
    }
    if (fseek(f, -(long) (sizeof(tail) - 1), SEEK_END) != 0) {
        rewind(f); /* shorter than that */
    }
    used = fread(tail, 1, sizeof(tail) - 1, f);
    (void) fclose(f); /* only read from */
    while (used > 0 && tail[used - 1] == '\n') {
        used--;
    }
    tail[used] = '\0';
    line = strrchr(tail, '\n');
    (void) snprintf(text, size, "%s", line == NULL ? tail : line + 1); /* a longer line is cut */
}

/* ---- Addresses ---- */

/* errno of listening there, 0 when it works; -1 when the name means nothing. */
static int try_listen(const struct config_address *a)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char port[8];
    const int on = 1;
    int result = 0;
    int fd;

    (void) snprintf(port, sizeof(port), "%u", a->port); /* 5 digits at most */
    if (getaddrinfo(a->host, port, &hints, &found) != 0) {
        return -1;
    }
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* As the node will: the remains of old connections do not count. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1) != 0) {
        result = errno;
    }
    if (fd >= 0) {
        (void) close(fd); /* nothing was written */
    }
    freeaddrinfo(found);
    return result;
}

static int check_port(struct cluster *c, const struct config_member *m,
                      const struct config_address *a, const char *what)
{
    int problem = try_listen(a);

    if (problem == 0) {
        return CLI_OK;
    }
    if (problem == EADDRINUSE) {
        return cli_fail(c->cli, CLI_LOCAL,
                        "port %u (%s, %s) is in use: another cluster? 'synod cluster down', 'ss "
                        "-ltnp' shows who it is, --base-port chooses other ports",
                        a->port, m->name, what);
    }
    return cli_fail(c->cli, CLI_LOCAL, "%s cannot listen on %s:%u (%s): %s", m->name, a->host,
                    a->port, what, problem < 0 ? "the name does not resolve" : strerror(problem));
}

int cluster_check_ports(struct cluster *c)
{
    for (uint32_t i = 0; i < c->config->cluster.members_count; i++) {
        const struct config_member *m = &c->config->cluster.members[i];
        int code = check_port(c, m, &m->client, "for clients");

        if (code == CLI_OK) {
            code = check_port(c, m, &m->peer, "for its peers");
        }
        if (code != CLI_OK) {
            return code;
        }
    }
    return CLI_OK;
}

int cluster_use_endpoints(struct cluster *c)
{
    struct cli *cli = c->cli;
    uint32_t count = c->config->cluster.members_count;

    if (count > CLIENT_ENDPOINTS_MAX) {
        return cli_fail(cli, CLI_LOCAL, "more than %d nodes", (int) CLIENT_ENDPOINTS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct config_address *a = &c->config->cluster.members[i].client;
        bool v6 = strchr(a->host, ':') != NULL;
        size_t size = strlen(a->host) + 16;
        char *text = arena_alloc(&cli->arena, size);

        (void) snprintf(text, size, "%s%s%s:%u", v6 ? "[" : "", a->host, v6 ? "]" : "",
                        a->port); /* it fits */
        cli->endpoints[i] = text;
    }
    cli->endpoints_count = count;
    return CLI_OK;
}
