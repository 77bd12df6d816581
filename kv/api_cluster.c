/*
 * api_cluster.c - etcdserverpb.Cluster: MemberList (etcd-v3.md 7). Membership change is a later
 * step of the engines.
 */
#include "kv/api_internal.h"

static int cluster_member_list(struct api_call *call, struct bytes in)
{
    struct api *a = call->api;
    struct api_header header = api_header_now(a);
    int err;

    (void)
        in; /* MemberListRequest has no fields we act on: the list is part of the configuration */
    header.revision = 0; /* absent in Cluster replies (etcd-v3.md 3) */
    buf_clear(&a->out);
    err = wire_members_encode(&header, a->options.members, a->options.members_count, &a->out);
    if (err != OK) {
        return err;
    }
    api_answer(call);
    return OK;
}

const struct api_method api_cluster_methods[] = {
    {"/etcdserverpb.Cluster/MemberList", cluster_member_list},
    {NULL, NULL},
};
