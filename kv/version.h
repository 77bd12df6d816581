/*
 * version.h - the versions this program tells.
 */
#ifndef SYNOD_KV_VERSION_H
#define SYNOD_KV_VERSION_H

#define SYNOD_VERSION "0.1.0"

/* What Maintenance.Status answers: the etcd API level served, with the program's own version as
 * build metadata. */
#define SYNOD_API_VERSION "3.4.23+synod." SYNOD_VERSION

#endif
