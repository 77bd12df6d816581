/*
 * wire_status.c - Maintenance.Status, Cluster.MemberList and the health check.
 *
 * Not hot, and full of text: protobuf-c wants C strings, so encoding copies them into a scratch
 * arena. A text that holds a zero byte ends there.
 */

#include "proto/wire_kv.h"

#include <protobuf-c/protobuf-c.h>
#include <string.h>

#include "proto/health.pb-c.h"
#include "proto/rpc.pb-c.h"
#include "proto/wire_arena.h"
#include "proto/wire_convert.h"

static char *text_dump(struct bytes text, struct arena *scratch)
{
    char *s = arena_alloc(scratch, text.size + 1);
    if (text.size > 0) {
        memcpy(s, text.data, text.size);
    }
    s[text.size] = '\0';
    return s;
}

static char **texts_dump(const struct bytes *texts, uint32_t count, struct arena *scratch)
{
    char **list = arena_alloc(scratch, count * sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = text_dump(texts[i], scratch);
    }
    return list;
}

/* Errors: ERR_LIMIT. */
static int texts_load(char *const *list, size_t count, struct arena *a,
                      const struct bytes **ret_texts)
{
    struct bytes *texts = arena_try_alloc(a, count * sizeof *texts);
    if (texts == NULL) {
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < count; i++) {
        texts[i] = bytes_str(list[i]);
    }
    *ret_texts = texts;
    return OK;
}

int wire_status_encode(const struct api_header *header, const struct api_status *status,
                       struct buf *out)
{
    struct arena scratch;
    arena_init(&scratch, WIRE_SCRATCH_CHUNK, SIZE_MAX);
    Etcdserverpb__ResponseHeader pb_header;
    wire_header_dump(header, header->revision, &pb_header);
    Etcdserverpb__StatusResponse pb = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    pb.header = &pb_header;
    pb.version = text_dump(status->version, &scratch);
    pb.dbsize = status->db_size;
    pb.leader = status->leader;
    pb.raftindex = status->raft_index;
    pb.raftterm = status->raft_term;
    pb.raftappliedindex = status->raft_applied_index;
    pb.errors = texts_dump(status->errors, status->errors_count, &scratch);
    pb.n_errors = status->errors_count;
    pb.dbsizeinuse = status->db_size_in_use;
    pb.islearner = status->is_learner;
    pb.storageversion = text_dump(status->storage_version, &scratch);
    pb.dbsizequota = status->db_size_quota;
    pb.synod_engine = text_dump(status->engine, &scratch);
    pb.synod_role = text_dump(status->role, &scratch);
    pb.synod_state_hash = status->state_hash;
    pb.synod_last_index = status->last_index;
    pb.synod_durable_index = status->durable_index;
    pb.synod_incarnation = status->incarnation;
    int rc = wire_pack(&pb.base, out);
    arena_release(&scratch);
    return rc;
}

int wire_status_decode(struct bytes in, struct arena *a, struct api_header *ret_header,
                       struct api_status *ret_status)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__status_response__descriptor, in, a, &m);
    if (rc != OK) {
        return rc;
    }
    const Etcdserverpb__StatusResponse *pb = (const Etcdserverpb__StatusResponse *) m;
    struct api_status status = {
        .version = bytes_str(pb->version),
        .db_size = pb->dbsize,
        .db_size_in_use = pb->dbsizeinuse,
        .db_size_quota = pb->dbsizequota,
        .leader = pb->leader,
        .raft_index = pb->raftindex,
        .raft_term = pb->raftterm,
        .raft_applied_index = pb->raftappliedindex,
        .is_learner = pb->islearner != 0,
        .storage_version = bytes_str(pb->storageversion),
        .errors_count = (uint32_t) pb->n_errors,
        .engine = bytes_str(pb->synod_engine),
        .role = bytes_str(pb->synod_role),
        .state_hash = pb->synod_state_hash,
        .last_index = pb->synod_last_index,
        .durable_index = pb->synod_durable_index,
        .incarnation = pb->synod_incarnation,
    };
    rc = texts_load(pb->errors, pb->n_errors, a, &status.errors);
    if (rc != OK) {
        return rc;
    }
    if (ret_header != NULL) {
        wire_header_load(pb->header, ret_header);
    }
    *ret_status = status;
    return OK;
}

static void member_dump(const struct api_member *member, struct arena *scratch,
                        Etcdserverpb__Member *pb)
{
    etcdserverpb__member__init(pb);
    pb->id = member->id;
    pb->name = text_dump(member->name, scratch);
    pb->peerurls = texts_dump(member->peer_urls, member->peer_urls_count, scratch);
    pb->n_peerurls = member->peer_urls_count;
    pb->clienturls = texts_dump(member->client_urls, member->client_urls_count, scratch);
    pb->n_clienturls = member->client_urls_count;
    pb->islearner = member->is_learner;
}

int wire_members_encode(const struct api_header *header, const struct api_member *members,
                        uint32_t count, struct buf *out)
{
    struct arena scratch;
    arena_init(&scratch, WIRE_SCRATCH_CHUNK, SIZE_MAX);
    Etcdserverpb__ResponseHeader pb_header;
    wire_header_dump(header, header->revision, &pb_header);
    Etcdserverpb__MemberListResponse pb = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    pb.header = &pb_header;
    Etcdserverpb__Member *list = arena_alloc(&scratch, count * sizeof *list);
    pb.members = arena_alloc(&scratch, count * sizeof *pb.members);
    pb.n_members = count;
    for (uint32_t i = 0; i < count; i++) {
        member_dump(&members[i], &scratch, &list[i]);
        pb.members[i] = &list[i];
    }
    int rc = wire_pack(&pb.base, out);
    arena_release(&scratch);
    return rc;
}

/* Errors: ERR_LIMIT. */
static int member_load(const Etcdserverpb__Member *pb, struct arena *a, struct api_member *member)
{
    member->id = pb->id;
    member->name = bytes_str(pb->name);
    member->peer_urls_count = (uint32_t) pb->n_peerurls;
    member->client_urls_count = (uint32_t) pb->n_clienturls;
    member->is_learner = pb->islearner != 0;
    int rc = texts_load(pb->peerurls, pb->n_peerurls, a, &member->peer_urls);
    if (rc == OK) {
        rc = texts_load(pb->clienturls, pb->n_clienturls, a, &member->client_urls);
    }
    return rc;
}

int wire_members_decode(struct bytes in, struct arena *a, struct api_header *ret_header,
                        const struct api_member **ret_members, uint32_t *ret_count)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__member_list_response__descriptor, in, a, &m);
    if (rc != OK) {
        return rc;
    }
    const Etcdserverpb__MemberListResponse *pb = (const Etcdserverpb__MemberListResponse *) m;
    struct api_member *members = arena_try_alloc(a, pb->n_members * sizeof *members);
    if (members == NULL) {
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < pb->n_members; i++) {
        rc = member_load(pb->members[i], a, &members[i]);
        if (rc != OK) {
            return rc;
        }
    }
    if (ret_header != NULL) {
        wire_header_load(pb->header, ret_header);
    }
    *ret_members = members;
    *ret_count = (uint32_t) pb->n_members;
    return OK;
}

int wire_members_request_decode(struct bytes in, struct arena *a, bool *ret_linearizable)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&etcdserverpb__member_list_request__descriptor, in, a, &m);
    if (rc == OK) {
        *ret_linearizable = ((const Etcdserverpb__MemberListRequest *) m)->linearizable != 0;
    }
    return rc;
}

int wire_health_request_decode(struct bytes in, struct arena *a, struct bytes *ret_service)
{
    ProtobufCMessage *m;
    int rc = wire_unpack(&grpc__health__v1__health_check_request__descriptor, in, a, &m);
    if (rc == OK) {
        *ret_service = bytes_str(((const Grpc__Health__V1__HealthCheckRequest *) m)->service);
    }
    return rc;
}

int wire_health_response_encode(int32_t status, struct buf *out)
{
    Grpc__Health__V1__HealthCheckResponse pb = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    pb.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus) status;
    return wire_pack(&pb.base, out);
}
