/*
 * api_maintenance.c - etcdserverpb.Maintenance: Status (etcd-v3.md 7).
 */
#include "kv/api_internal.h"
#include "kv/version.h"

static const struct bytes no_leader = {(const uint8_t *) "etcdserver: no leader", 21};

static int maintenance_status(struct api_call *call, struct bytes in)
{
    struct api *a = call->api;
    struct replica_status status;
    struct api_status answer;
    const struct api_header header = api_header_now(a);
    int err;

    (void) in; /* StatusRequest has no fields */
    replica_status(a->replica, &status);
    answer = (struct api_status){
        .version = bytes_str(SYNOD_API_VERSION),
        .db_size = (int64_t) a->options.disk_size(a->options.ctx),
        .db_size_in_use = (int64_t) status.size_in_use,
        .leader = status.consensus.leader,
        .raft_index = status.consensus.commit,
        .raft_term = status.consensus.epoch,
        .raft_applied_index = status.applied,
        .errors = &no_leader,
        .errors_count =
            status.consensus.leader == 0 && status.consensus.role != ROLE_PROPOSER ? 1 : 0,
        .is_learner = status.consensus.role == ROLE_LEARNER,
        .engine = bytes_str(engine_name(engine_by_id(status.consensus.engine))),
        .role = bytes_str(consensus_role_name(status.consensus.role)),
        .state_hash = status.hash,
        .last_index = status.consensus.last,
        .durable_index = status.durable_applied,
        .incarnation = status.incarnation,
    };
    buf_clear(&a->out);
    err = wire_status_encode(&header, &answer, &a->out);
    if (err != OK) {
        return err;
    }
    api_answer(call);
    return OK;
}

const struct api_method api_maintenance_methods[] = {
    {"/etcdserverpb.Maintenance/Status", maintenance_status},
    {NULL, NULL},
};
