/*
 * Recovery points and partial maps, the roots of everything a store keeps.
 */
#ifndef HOLDFAST_STORAGE_POINT_H
#define HOLDFAST_STORAGE_POINT_H

#include "storage/map.h"
#include "storage/writers.h"

struct point_disk {
    char *name;    /* target name on the VM ("vda"), unique in the point */
    char *format;  /* at the source: "raw", "qcow2" */
    uint64_t size; /* bytes */
    struct chunk_name root;
    uint64_t transferred_bytes; /* plain bytes that travelled for this disk */
};

struct point {
    char id[IDENTITY_SIZE];
    char datasource[IDENTITY_SIZE]; /* id of the VM on the server */
    char parent[IDENTITY_SIZE];     /* the point it was made from; empty: none */
    char *vm_name;
    char *vm_uuid; /* the hypervisor's; may be NULL */
    char *host_id;
    char *host_name;
    char *kind;               /* "kvm", "hyperv", "image" */
    char *mode;               /* "full", "incremental", "check" */
    char *consistency;        /* "application", "filesystem", "crash" */
    char *consistency_reason; /* why not more; may be NULL */
    char *configuration; /* the VM's own description, as its hypervisor gives it (domain XML); may be NULL */
    char *tracking;  /* the provider's tracking point that records what changed since; opaque; may be NULL */
    int64_t time_ms; /* the instant the data is of, wall time */
    int64_t committed_ms;    /* when it became durable */
    int64_t locked_until_ms; /* nobody may delete it before; 0: no lock. The server heeds it, point_delete
                                does not */
    int64_t retain_until_ms; /* as asked for when it was made; 0: not */
    uint64_t read_bytes;     /* at the source */
    uint64_t sent_bytes;     /* on the wire */
    uint64_t stored_bytes;   /* what the store grew by */
    size_t disk_count;
    struct point_disk *disks;
};

struct point *point_create(void);
void point_destroy(struct point *point); /* frees every string and disk; NULL is fine */
/* Room for one more disk, zeroed, owned by the point; valid until the next call. */
struct point_disk *point_add_disk(struct point *point, const char *name);
const struct point_disk *point_find_disk(const struct point *point, const char *name);

/* store_sync, then write the record, then fsync: when this returns 0 the point is complete and durable. The
 * id must be new. Sets committed_ms. STORE_FULL, STORE_UNAVAILABLE. */
int point_commit(struct store *store, struct point *point, struct error *err);
/* RP_NOT_FOUND, RP_DAMAGED (the record itself can't be read). */
struct point *point_read(struct store *store, const char *id, struct error *err);
/* Durable. The chunks stay until garbage collection. RP_NOT_FOUND. */
int point_delete(struct store *store, const char *id, struct error *err);
/* Calls visit with each id, in no order; non-zero stops and is returned. */
int point_list(struct store *store, int (*visit)(void *cookie, const char *id), void *cookie,
               struct error *err);

/* --- partial maps: what an interrupted synchronization of a disk brought, kept so that the next try does not
 * send it again. One per datasource and disk; roots like recovery points. Saving syncs the store first. */
int partial_save(struct store *store, const char *datasource, const char *disk, uint64_t disk_size,
                 const struct chunk_name *root, struct error *err);
/* 1 found, 0 none, -1 error. */
int partial_load(struct store *store, const char *datasource, const char *disk, uint64_t *disk_size,
                 struct chunk_name *root, struct error *err);
/* --- seeds: partial maps that an operator grants a datasource before its first recovery point. They stay
 * beside what transfers bring, so that an interrupted one does not lose them. */
/* The datasource's `disk` may be compared with `from`, a disk of that recovery point, whose root is pinned by
 * a writer (storage/writers.h). */
int partial_save_seed(struct store *store, const char *datasource, const struct point_disk *from,
                      const char *disk, const char *point, struct error *err);
/* 1 found, 0 none, -1 error. */
int partial_load_seed(struct store *store, const char *datasource, const char *disk, uint64_t *disk_size,
                      struct chunk_name *root, struct error *err);
/* The recovery point that a datasource was seeded from: 1 found, 0 none, -1 error. */
int partial_find_seed(struct store *store, const char *datasource, char point[IDENTITY_SIZE],
                      struct error *err);
/* Seeds and all others, of all disks of the datasource. */
int partial_remove(struct store *store, const char *datasource, struct error *err);

#endif
