/*
 * api_health.c - grpc.health.v1.Health: Check. Serving means: this node knows a leader, or needs
 * none and hears a quorum or a peer that stands in for it.
 */
#include "kv/api_internal.h"

enum { HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2 };

static int32_t health_now(const struct api *a)
{
    struct replica_status status;

    replica_status(a->replica, &status);
    if (status.consensus.role == ROLE_PROPOSER) {
        uint32_t heard = (uint32_t) __builtin_popcountll(status.consensus.heard);
        bool other =
            status.consensus.proposer != 0 && status.consensus.proposer != status.consensus.self;

        return heard > a->options.members_count / 2 || other ? HEALTH_SERVING : HEALTH_NOT_SERVING;
    }
    return status.consensus.leader != 0 ? HEALTH_SERVING : HEALTH_NOT_SERVING;
}

static int health_check(struct api_call *call, struct bytes in)
{
    struct api *a = call->api;
    struct bytes service;
    int err = wire_health_request_decode(in, &a->arena, &service);

    if (err != OK) {
        return err;
    }
    if (!bytes_empty(service) && !bytes_equal(service, bytes_str("etcdserverpb.KV"))) {
        return ERR_NOT_FOUND;
    }
    buf_clear(&a->out);
    err = wire_health_response_encode(health_now(a), &a->out);
    if (err != OK) {
        return err;
    }
    api_answer(call);
    return OK;
}

const struct api_method api_health_methods[] = {
    {"/grpc.health.v1.Health/Check", health_check},
    {NULL, NULL},
};
