/*
 * Inside the room: the state of an open store.
 *
 * Locks, in the order in which they are taken: maintenance_lock, gate, users.lock, sync_lock, append_lock.
 * The gate is held shared by every operation, and exclusively while the index is replaced.
 */
#ifndef HOLDFAST_STORAGE_STORE_INTERNAL_H
#define HOLDFAST_STORAGE_STORE_INTERNAL_H

#include "base/os_file.h"
#include "storage/backend.h"
#include "storage/collect_internal.h"
#include "storage/index.h"
#include "storage/pending.h"
#include "storage/record.h"
#include "storage/superblock.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    STORE_CONTAINER_SIZE = 64 * 1024 * 1024, /* a container is sealed when it would grow past this */
    STORE_TABLE_SIZE_MAX = 4 * 1024 * 1024,  /* or its table past this: many tiny records */
    STORE_BUFFER_SIZE = 1024 * 1024,         /* appended bytes are written in pieces of about this size */
    STORE_PENDING_MAX = 65536,               /* names not yet in the index; more force a sync */
    STORE_UNSYNCED_MAX = 4,                  /* full containers that wait for a sync; more force one */
    STORE_SPACE_CHECK_BYTES = 16 * 1024 * 1024,
    STORE_CONTAINER_NAME_SIZE = 32,
    STORE_RUN_CACHE_SLOTS = 8,
};

/* The container that is being written. */
struct appender {
    struct backend_append *object; /* NULL: the next append starts a container */
    uint64_t container;
    uint32_t written; /* bytes in the object */
    uint8_t *buffer;  /* bytes behind them */
    uint32_t buffered;
    uint8_t *table; /* entries of the sealing table, see docs/format.md */
    uint32_t table_length;
    uint32_t table_capacity;
};

/* A container that is full and not yet synced. Its table is written when its records are durable: a container
 * with a table has lost nothing. */
struct unsynced {
    struct backend_append *object;
    uint64_t container;
    uint32_t length; /* without table and footer */
    uint8_t *table;  /* entries, owned */
    uint32_t table_length;
};

/* A run that was read and unpacked lately, for the reader of its neighbours. */
struct cached_run {
    uint64_t container;
    uint32_t offset;
    size_t length; /* 0: the place is free */
    uint8_t *plain;
};

struct store {
    char *directory;
    char *index_path;
    struct backend *backend;
    struct superblock superblock;
    pthread_mutex_t keys_lock; /* guards superblock's slots */
    struct seal *seal;         /* NULL: a plain store */
    unsigned scrypt_cost;
    uint32_t chunk_size;
    uint32_t container_size;
    uint64_t reserved_bytes;
    struct os_file *lock_file;
    struct index *index;

    pthread_mutex_t maintenance_lock; /* held by a collection or a rebuild, all the way */
    struct store_users users;
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
    pthread_mutex_t cache_lock;    /* guards what follows */
    struct cached_run cache[STORE_RUN_CACHE_SLOTS];
    unsigned cache_next;
};

/* Open a store that lies in a backend; takes the backend over, also on failure. directory is for messages. */
struct store *store_open_backend(struct backend *backend, const char *directory, const char *index_path,
                                 const struct store_open_options *options, struct error *err);
int store_create_backend(struct backend *backend, const struct store_settings *settings, struct error *err);
int store_write_superblock(struct backend *backend, const struct superblock *superblock, struct error *err);

/* The name of a container's object; returns out. */
char *store_container_name(uint64_t container, char out[STORE_CONTAINER_NAME_SIZE]);

/* Append one record (made by record_encode) and note its names as pending. With the gate held. */
int store_append(struct store *store, const uint8_t *record, struct error *err);
/* A copy that a collection makes: may use the reserved space, since more is freed by it. */
int store_append_copy(struct store *store, const uint8_t *record, struct error *err);
/* Let readers see what is still in the buffer. With append_lock held. */
int store_flush_locked(struct store *store, struct error *err);
/* With the gate held. */
int store_sync_gated(struct store *store, struct error *err);
/* The next record begins a new container: *next, which is the id that it gets, or a later one. With the gate
 * held exclusively. */
int store_end_container(struct store *store, uint64_t *next, struct error *err);
void store_appender_destroy(struct store *store);

/* Find a name: pending, syncing, index. 1 found, 0 not (or damaged), -1 error. With the gate held. */
int store_lookup(struct store *store, const struct stored_name *name, struct chunk_location *location,
                 struct error *err);
/* A record that was read: parsed, checked by its CRC, its payload in the open. */
struct stored_record {
    uint8_t *bytes; /* malloc'd; payload and names point into it */
    struct record record;
    const uint8_t *payload;
    size_t length;
};
/* The bytes from location->offset on, location->length of them, of its container. With the gate held.
 * CHUNK_DAMAGED. */
int store_read_bytes(struct store *store, const struct chunk_location *location, uint8_t *bytes,
                     struct error *err);
/* The record in these bytes, which lie at the location: they are changed, and belong to the caller as before.
 * CHUNK_DAMAGED. */
int store_open_record(const struct store *store, const struct chunk_location *location, uint8_t *bytes,
                      struct stored_record *out, struct error *err);
/* Both, in memory of its own. With the gate held. CHUNK_DAMAGED. */
int store_read_record(struct store *store, const struct chunk_location *location, struct stored_record *out,
                      struct error *err);
/* Seal, compression and names of a record whose CRC is right. Its bytes are changed. */
bool store_record_is_whole(const struct store *store, const struct record *record, uint8_t *bytes);
/* CHUNK_DAMAGED, for the record at a location. Returns -1. */
int store_damaged_error(const struct chunk_location *location, const char *why, struct error *err);
/* Note a name as damaged: it is looked up no more. With the gate held. */
void store_quarantine(struct store *store, const struct stored_name *name);
/* Read what is noted as damaged again: what is right is damaged no more. */
int store_recheck_damaged(struct store *store, struct error *err);
void store_cache_clear(struct store *store);

/* Map nodes are records of one name, stored as they are. */
int store_put_node(struct store *store, const uint8_t *node, size_t length, struct chunk_name *name,
                   struct error *err);
/* *node is malloc'd and checked against its name. CHUNK_DAMAGED. */
int store_read_node(struct store *store, const struct chunk_name *name, uint8_t **node, size_t *length,
                    struct error *err);

/* Read every container past the index's watermark into the index. 1: a container is shorter than the index
 * knew it, so that the index must be made anew. */
int store_replay(struct store *store, void (*watch)(void *cookie, uint64_t done, uint64_t total),
                 void *cookie, struct error *err);
/* Throw the index away and make an empty one: everything in it can be read from the containers again. The
 * index is NULL when that fails. */
int store_renew_index(struct store *store, struct error *err);
/* Ids of the containers that exist, ascending; malloc'd. */
int store_list_containers(struct store *store, uint64_t **ids, size_t *count, struct error *err);

#endif
