/*
 * api_error.h - our error codes as clients of etcd v3 know them: gRPC status and the exact text
 * (etcd-v3.md 10).
 */
#ifndef SYNOD_KV_API_ERROR_H
#define SYNOD_KV_API_ERROR_H

/* What a client is told. The text is parsed by clients: byte for byte etcd's. */
struct api_error {
    int status; /* enum grpc_status */
    const char *text;
};

/* The answer for an error of replica, mvcc, api_check or wire. Static storage; any thread. */
struct api_error api_error_of(int err);

#endif
