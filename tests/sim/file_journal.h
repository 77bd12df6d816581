/*
 * file_journal.h - a recorder of everything that a program does to the files below one directory.
 *
 * A test program defines the functions of the C library that change files (open, write, rename ...)
 * and hands each on to its file_journal_*_call here, which makes the system call and notes it. So
 * the calls of libleveldb.so are seen too, from whatever thread they come. Not here: what a crash
 * leaves of the files (tests/sim/file_image.h).
 *
 * Not noted are the contents of LevelDB's LOG, which go through stdio. Calls that change a file in
 * a way the journal cannot note abort the program.
 */
#ifndef SYNOD_TESTS_SIM_FILE_JOURNAL_H
#define SYNOD_TESTS_SIM_FILE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum file_event_kind {
    FILE_LINK = 1,    /* a new node has a name; a file of that name that was there lost it */
    FILE_RENAME,      /* node goes from one name to another */
    FILE_UNLINK,      /* a name is gone */
    FILE_WRITE,       /* data at an offset of a node */
    FILE_SYNC,        /* fsync or fdatasync of a file or directory */
    FILE_SYNC_FAILED, /* returned an error: nobody knows */
    FILE_SETTLED,     /* all before this was there, durable, when recording began */
};

struct file_event {
    uint8_t kind; /* enum file_event_kind */
    bool is_dir;  /* LINK: of a directory */
    int thread;   /* who did it */
    uint32_t node;
    uint32_t dir; /* LINK, UNLINK, RENAME: where the name is, or was */
    char *name;
    uint32_t to_dir; /* RENAME: where it is then */
    char *to_name;
    uint64_t offset; /* WRITE */
    size_t size;
    uint8_t *data;
};

/* Kinds of calls, to be added up. */
enum file_call {
    FILE_CALL_WRITE = 1,
    FILE_CALL_SYNC = 2,
    FILE_CALL_CREATE = 4, /* open with O_CREAT, mkdir */
    FILE_CALL_RENAME = 8,
};

/* A call that fails. */
struct file_fault {
    uint32_t calls;  /* sum of enum file_call: which are counted */
    uint32_t before; /* this many of them succeed first */
    int number;      /* the errno; a write appends a third of its data before */
};

struct file_journal;

/*
 * Begins to record what happens below `root`, an existing directory whose files nobody has open;
 * what is in there counts as durable. One journal of a process records at a time.
 */
struct file_journal *file_journal_start(const char *root);

/* Ends recording; files below the root are no longer watched. */
void file_journal_stop(struct file_journal *j);
void file_journal_free(struct file_journal *j); /* NULL is legal */

/* Arms the one fault. */
void file_journal_fail(struct file_journal *j, struct file_fault fault);

/* Takes it back; ret_fault is what is left of it. False: it struck, or none was armed. */
bool file_journal_disarm(struct file_journal *j, struct file_fault *ret_fault);

/* Whether it struck, and the number of events before the failed call. */
bool file_journal_struck(struct file_journal *j, uint32_t *ret_events);

/* Events so far. The point `n` is the moment after the first n of them. */
uint32_t file_journal_count(struct file_journal *j);

/* An event, of a stopped journal. Node 0 is the root. */
const struct file_event *file_journal_event(const struct file_journal *j, uint32_t i);
uint32_t file_journal_nodes(const struct file_journal *j);

/* The number of the calling thread, as in file_event.thread. */
int file_journal_thread(void);

/* Whether this thread did nothing to files since the first `n` events. */
bool file_journal_quiet_since(struct file_journal *j, uint32_t n);

/* The calls; each returns what the C library's function would. directory: AT_FDCWD or open. */
int file_journal_open_call(int directory, const char *path, int flags, uint32_t mode);
int64_t file_journal_write_call(int fd, const void *data, size_t size);
int file_journal_sync_call(int fd, bool data_only);
int file_journal_rename_call(const char *from, const char *to);
int file_journal_unlink_call(int directory, const char *path, int flags);
int file_journal_mkdir_call(const char *path, uint32_t mode);
int file_journal_close_call(int fd);

/* For the calls that cannot be noted: aborts when the file is one of the recorded. */
void file_journal_refuse(int fd);

#endif
