/*
 * Inside the room: the state of an open store.
 *
 * Locks, in the order in which they are taken: gate, sync_lock, append_lock. The gate is held shared by every
 * operation and exclusively while the index is replaced.
 */
#ifndef HOLDFAST_STORAGE_STORE_INTERNAL_H
#define HOLDFAST_STORAGE_STORE_INTERNAL_H

#include "base/os_file.h"
#include "storage/chunk.h"
#include "storage/index.h"
#include "storage/pending.h"
#include "storage/store.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    STORE_CONTAINER_SIZE = 64 * 1024 * 1024, /* a container is sealed when it has grown past this */
    STORE_BUFFER_SIZE = 1024 * 1024,         /* appended bytes are written in pieces of about this size */
    STORE_PENDING_MAX = 65536,               /* names not yet in the index; more force a sync */
    STORE_SPACE_CHECK_BYTES = 16 * 1024 * 1024,
};

/* The container that is being written. */
struct appender {
    struct os_file *file; /* NULL: the next append starts a container */
    uint64_t container;
    uint32_t written; /* bytes in the file */
    uint8_t *buffer;  /* bytes behind them */
    uint32_t buffered;
    uint8_t *table; /* entries of the sealing table, see format.md */
    uint32_t table_length;
    uint32_t table_capacity;
    uint32_t table_count;
};

/* A container that is full and not yet synced. */
struct unsynced {
    struct os_file *file;
    struct index_watermark watermark;
};

struct store {
    char *directory;
    char *containers;
    char *points;
    char *partials;
    char *index_path;
    char id[IDENTITY_SIZE];
    uint8_t uuid[16];
    uint32_t chunk_size;
    uint64_t reserved_bytes;
    struct os_file *lock_file;
    struct index *index;

    pthread_rwlock_t gate;
    pthread_mutex_t sync_lock;   /* one sync at a time */
    bool poisoned;               /* a sync failed; guarded by sync_lock */
    pthread_mutex_t append_lock; /* guards what follows */
    struct appender appender;
    uint64_t next_container;
    struct pending *pending; /* appended since the last sync began */
    struct pending *syncing; /* being synced; empty otherwise */
    struct unsynced *unsynced;
    size_t unsynced_count;
    uint64_t since_space_check;

    atomic_uint_least64_t damaged; /* names in the index's damaged list; most lookups skip it when 0 */
    pthread_mutex_t files_lock;    /* guards the open read handles */
    struct os_file *read_files[16];
    uint64_t read_ids[16];
    unsigned read_next;
};

char *store_container_path(const struct store *store, uint64_t container);

/* Append one record (made by record_encode) and note its names as pending. With the gate held. */
int store_append(struct store *store, const uint8_t *record, uint32_t length, struct error *err);
/* Let readers see what is still in the buffer. With append_lock held. */
int store_flush_locked(struct store *store, struct error *err);
/* With the gate held. */
int store_sync_gated(struct store *store, struct error *err);
/* Find a name: pending, syncing, index. 1 found, 0 not (or damaged), -1 error. */
int store_lookup(struct store *store, const struct chunk_name *name, struct chunk_location *location,
                 struct error *err);
/* Read and check a whole record; *bytes is malloc'd. CHUNK_DAMAGED (and the record's names are quarantined).
 */
int store_read_record(struct store *store, const struct chunk_location *location, uint8_t **bytes,
                      struct error *err);
/* Note a name as damaged: it is looked up no more. */
void store_quarantine(struct store *store, const struct chunk_name *name);

/* Map nodes are records of one name, stored plain. */
int store_put_node(struct store *store, const uint8_t *node, size_t length, struct chunk_name *name,
                   struct error *err);
/* *node is malloc'd and checked against its name. CHUNK_DAMAGED. */
int store_read_node(struct store *store, const struct chunk_name *name, uint8_t **node, size_t *length,
                    struct error *err);

/* Read every container past the index's watermark into the index. */
int store_replay(struct store *store, void (*watch)(void *cookie, uint64_t done, uint64_t total),
                 void *cookie, struct error *err);
/* Ids of the containers that exist, ascending; malloc'd. */
int store_list_containers(struct store *store, uint64_t **ids, size_t *count, struct error *err);

#endif
