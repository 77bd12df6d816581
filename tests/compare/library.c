/*
 * library.c - see library.h.
 */
#include "tests/compare/library.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "kv/cli_options.h"

static const char ending[] = ".fault";

static char *join(const char *folder, const char *name, const char *end)
{
    size_t size = strlen(folder) + strlen(name) + strlen(end) + 2;
    char *path = xmalloc(size);
    (void) snprintf(path, size, "%s/%s%s", folder, name, end);
    return path;
}

static bool is_folder(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return false;
    }
    (void) closedir(dir); /* it was read only */
    return true;
}

char *library_folder(const char *program)
{
    static const char *const above[] = {"..", "../.."}; /* build/, build/asan/ */
    const char *slash = strrchr(program, '/');
    if (is_folder("tests/fault")) {
        return xstrdup("tests/fault");
    }
    char *folder = slash == NULL ? xstrdup(".") : strndup(program, (size_t) (slash - program));
    for (uint32_t i = 0; folder != NULL && i < ARRAY_SIZE(above); i++) {
        char *parent = join(folder, above[i], "");
        char *path = join(parent, "tests/fault", "");
        free(parent);
        char *real = is_folder(path) ? realpath(path, NULL) : NULL; /* commands name it: short */
        free(path);
        if (real != NULL) {
            free(folder);
            return real;
        }
    }
    free(folder);
    return NULL;
}

static char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    size_t size = strlen(name);
    size_t tail = sizeof ending - 1;
    if (size > tail && strcmp(name + size - tail, ending) == 0) {
        size -= tail;
    }
    char *copy = xmalloc(size + 1);
    memcpy(copy, name, size);
    copy[size] = '\0';
    return copy;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Names in the library, sorted; free each and the array. */
static uint32_t list(const char *folder, char ***ret_names)
{
    char **names = xcalloc(COMPARE_SCRIPTS_MAX, sizeof *names);
    uint32_t count = 0;
    DIR *dir = folder == NULL ? NULL : opendir(folder);
    for (struct dirent *entry = dir == NULL ? NULL : readdir(dir);
         entry != NULL && count < COMPARE_SCRIPTS_MAX; entry = readdir(dir)) {
        const char *end = strstr(entry->d_name, ending);
        if (end != NULL && end[sizeof ending - 1] == '\0') {
            names[count++] = name_of(entry->d_name);
        }
    }
    if (dir != NULL) {
        (void) closedir(dir); /* it was read only */
    }
    qsort(names, count, sizeof *names, compare_names);
    *ret_names = names;
    return count;
}

static int load(const char *path, struct compare_script *ret, struct buf *error)
{
    ret->path = xstrdup(path);
    ret->name = name_of(path);
    return scenario_load(path, &ret->scenario, error);
}

static int unknown(const char *word, const char *folder, char *const *names, uint32_t count,
                   struct buf *error)
{
    const char *meant = cli_suggest(word, (const char *const *) names, count);
    if (is_folder(word)) {
        ERR_IGNORE(buf_printf(error, "%s is a folder; name the scripts in it", word));
    } else if (folder == NULL) {
        ERR_IGNORE(buf_printf(error,
                              "%s: there is no such file, and no tests/fault with scripts to "
                              "be found from here",
                              word));
    } else if (meant != NULL) {
        ERR_IGNORE(buf_printf(error, "%s: there is no such file or script; did you mean %s?", word,
                              meant));
    } else {
        ERR_IGNORE(buf_printf(error,
                              "%s: there is no such file, and no script of that name in %s "
                              "(synod-sim compare --list)",
                              word, folder));
    }
    return ERR_NOT_FOUND;
}

static int load_word(const char *word, const char *folder, char *const *names, uint32_t count,
                     struct compare_script *ret, struct buf *error)
{
    if (access(word, F_OK) == 0 && !is_folder(word)) {
        return load(word, ret, error);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(names[i], word) == 0) {
            char *path = join(folder, word, ending);
            int err = load(path, ret, error);
            free(path);
            return err;
        }
    }
    return unknown(word, folder, names, count, error);
}

static bool is_twice(const struct compare_script *scripts, uint32_t count)
{
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (strcmp(scripts[i].name, scripts[count - 1].name) == 0) {
            return true;
        }
    }
    return false;
}

int library_load(const char *program, char *const *words, uint32_t count,
                 struct compare_script **ret_scripts, uint32_t *ret_count, struct buf *error)
{
    char *folder = library_folder(program);
    char **names = NULL;
    uint32_t known = list(folder, &names);
    uint32_t wanted = count == 0 ? known : count;
    int err = OK;
    *ret_scripts = xcalloc((size_t) wanted + 1, sizeof **ret_scripts);
    *ret_count = 0;
    if (wanted == 0 || wanted > COMPARE_SCRIPTS_MAX) {
        err = wanted == 0 ? ERR_NOT_FOUND : ERR_LIMIT;
        ERR_IGNORE(buf_printf(error, wanted == 0
                                         ? "no tests/fault with scripts is to be found from "
                                           "here; name a file"
                                         : "too many scripts at once"));
    }
    for (uint32_t i = 0; err == OK && i < wanted; i++) {
        struct compare_script *script = &(*ret_scripts)[(*ret_count)++];
        err = load_word(count == 0 ? names[i] : words[i], folder, names, known, script, error);
        if (err == OK && is_twice(*ret_scripts, *ret_count)) {
            ERR_IGNORE(buf_printf(error, "%s is given twice", script->name));
            err = ERR_INVALID;
        }
    }
    for (uint32_t i = 0; i < known; i++) {
        free(names[i]);
    }
    free(names);
    free(folder);
    return err;
}

void library_release(struct compare_script *scripts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (scripts[i].path != NULL) { /* else it was never loaded */
            scenario_release(&scripts[i].scenario);
        }
        free(scripts[i].path);
        free(scripts[i].name);
    }
    free(scripts);
}
