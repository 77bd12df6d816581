#ifndef SYNOD_TESTS_SUPPORT_FAKE_ETCD_H
#define SYNOD_TESTS_SUPPORT_FAKE_ETCD_H

/*
 * fake_etcd.h - a gRPC server on a real socket that does as it is told, call by call, and remembers
 * what it was sent: for tests of clients. It runs on the test's loop.
 *
 * Status is always answered, as a Synod or a plain etcd; every other call gets the next answer of
 * the script, and when that has run out an empty message with OK.
 */

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct fake_etcd;

enum fake_action {
    FAKE_OK,      /* an empty message */
    FAKE_STATUS,  /* status and text */
    FAKE_DROP,    /* closes the connection */
    FAKE_SILENCE, /* no answer */
    FAKE_GOAWAY,  /* OK, and begins a graceful shutdown of the connection */
};

struct fake_answer {
    uint8_t action; /* enum fake_action */
    int status;
    const char *text; /* static storage */
};

/* A call as it came. */
struct fake_call {
    uint64_t session; /* from the metadata; 0: none */
    uint64_t sequence;
};

enum { FAKE_CALLS_MAX = 256 };

/* Listens on a free port of 127.0.0.1; synod: how it answers Status. Aborts on failure. */
struct fake_etcd *fake_etcd_new(struct uv_loop_s *loop, bool synod);

/* Closes listener and connections; freed by later turns of the loop. */
void fake_etcd_close(struct fake_etcd *f);

/* "127.0.0.1:PORT"; lives as long as `f`. */
const char *fake_etcd_endpoint(const struct fake_etcd *f);

/* Adds to the script. */
void fake_etcd_then(struct fake_etcd *f, struct fake_answer answer);

/* Status is not answered from now on: nobody knows what it is. */
void fake_etcd_hang_status(struct fake_etcd *f);

/* Calls that came, Status not counted. */
uint32_t fake_etcd_calls(const struct fake_etcd *f);
struct fake_call fake_etcd_call(const struct fake_etcd *f, uint32_t i);

/* Connections accepted so far, and those that are open. */
uint32_t fake_etcd_accepted(const struct fake_etcd *f);
uint32_t fake_etcd_open(const struct fake_etcd *f);

#endif
