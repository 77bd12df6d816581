/*
 * shim.c - the page of shared memory, as the harness makes it.
 */
#include "tests/real/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int shim_page_new(const char *path, struct shim_page **ret_page, struct buf *error)
{
    void *at = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0 && ftruncate(fd, sizeof(struct shim_page)) == 0) {
        at = mmap(NULL, sizeof(struct shim_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int failed = errno;
    if (fd >= 0) {
        (void) close(fd); /* the mapping stays */
    }
    if (at == MAP_FAILED) {
        ERR_IGNORE(buf_printf(error, "cannot map %s: %s", path, strerror(failed)));
        return ERR_IO;
    }
    struct shim_page *page = at; /* all zero: no faults */
    page->version = SHIM_VERSION;
    *ret_page = page;
    return OK;
}

void shim_page_free(struct shim_page *page)
{
    if (page != NULL) {
        (void) munmap(page, sizeof *page); /* it is one */
    }
}
