/*
 * tempdir.c - directories for tests, and a few things done to files.
 */

#include "tests/support/tempdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

enum { WALK_FILES_MAX = 16 };

void tempdir_make(char ret_path[TEMPDIR_PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    int length = snprintf(ret_path, TEMPDIR_PATH_MAX, "%s/synod-test-XXXXXX",
                          base == NULL || base[0] == '\0' ? "/tmp" : base);
    ASSERT(length > 0 && length < TEMPDIR_PATH_MAX);
    char *made = mkdtemp(ret_path);
    ASSERT(made != NULL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

void tempdir_remove(const char *path)
{
    int rc = nftw(path, remove_one, WALK_FILES_MAX, FTW_DEPTH | FTW_PHYS);
    ASSERT(rc == 0 || errno == ENOENT);
}

static void path_in(char ret_path[TEMPDIR_PATH_MAX], const char *dir, const char *name)
{
    int length = snprintf(ret_path, TEMPDIR_PATH_MAX, "%s/%s", dir, name);
    ASSERT(length > 0 && length < TEMPDIR_PATH_MAX);
}

static void file_copy(const char *from, const char *to)
{
    size_t size = file_size(from);
    uint8_t *bytes = xmalloc(size);
    int in = open(from, O_RDONLY);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ASSERT(in >= 0);
    ASSERT(out >= 0);
    ssize_t got = read(in, bytes, size);
    ASSERT(got == (ssize_t) size);
    ssize_t put = write(out, bytes, size);
    ASSERT(put == (ssize_t) size);
    close(in);
    close(out);
    free(bytes);
}

void tempdir_copy(const char *from, const char *to)
{
    int made = mkdir(to, 0700);
    ASSERT(made == 0 || errno == EEXIST);
    DIR *dir = opendir(from);
    ASSERT(dir != NULL);
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir)) != NULL) {
        char source[TEMPDIR_PATH_MAX];
        char target[TEMPDIR_PATH_MAX];
        struct stat st;
        path_in(source, from, entry->d_name);
        path_in(target, to, entry->d_name);
        if (stat(source, &st) == 0 && S_ISREG(st.st_mode)) {
            file_copy(source, target);
        }
    }
    closedir(dir);
}

static int name_matches(const char *name, const char *prefix, const char *suffix)
{
    size_t size = strlen(name);
    if (prefix != NULL && strncmp(name, prefix, strlen(prefix)) != 0) {
        return 0;
    }
    return suffix == NULL ||
           (size >= strlen(suffix) && strcmp(name + size - strlen(suffix), suffix) == 0);
}

int tempdir_find(const char *dir, const char *prefix, const char *suffix, unsigned nth,
                 char ret_path[TEMPDIR_PATH_MAX])
{
    struct dirent **names = NULL;
    int count = scandir(dir, &names, NULL, alphasort);
    ASSERT(count >= 0);
    int found = 0;
    for (int i = 0; i < count; i++) {
        if (!found && name_matches(names[i]->d_name, prefix, suffix)) {
            found = nth == 0;
            nth -= nth > 0 ? 1 : 0;
            path_in(ret_path, dir, names[i]->d_name);
        }
        free(names[i]);
    }
    free(names);
    return found;
}

size_t file_size(const char *path)
{
    struct stat st;
    int rc = stat(path, &st);
    ASSERT(rc == 0);
    return (size_t) st.st_size;
}

void file_flip(const char *path, size_t offset, uint8_t mask)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    ASSERT(fd >= 0);
    ssize_t n = pread(fd, &byte, 1, (off_t) offset);
    ASSERT(n == 1);
    byte ^= mask;
    n = pwrite(fd, &byte, 1, (off_t) offset);
    ASSERT(n == 1);
    close(fd);
}

void file_zero(const char *path, size_t offset, size_t size)
{
    uint8_t *zeros = xcalloc(size, 1);
    int fd = open(path, O_WRONLY);
    ASSERT(fd >= 0);
    ssize_t n = pwrite(fd, zeros, size, (off_t) offset);
    ASSERT(n == (ssize_t) size);
    close(fd);
    free(zeros);
}

void file_cut(const char *path, size_t size)
{
    int rc = truncate(path, (off_t) size);
    ASSERT(rc == 0);
}

void file_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    ASSERT(f != NULL);
    int rc = fputs(text, f);
    ASSERT(rc >= 0);
    rc = fclose(f);
    ASSERT(rc == 0);
}
