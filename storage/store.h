/*
 * A store: a directory of content-addressed chunks, the maps that list them, and recovery points.
 * docs/format.md describes every byte of it. The engine knows neither network nor catalog.
 *
 * A store is opened by one process at a time (lock file). After open every function is thread-safe unless it
 * says otherwise; all of them block on the disk and none may be called on an event loop.
 *
 * Durability: what chunk_put_run and map writers add is durable only after store_sync; point_commit syncs by
 * itself. A crash at any instant leaves the store valid; unsynced chunks may be lost, committed points are
 * not.
 */
#ifndef HOLDFAST_STORAGE_STORE_H
#define HOLDFAST_STORAGE_STORE_H

#include "base/error.h"
#include "base/identity.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct store_secret; /* storage/keys.h */

enum {
    STORE_CHUNK_SIZE_DEFAULT = 65536,
    STORE_CHUNK_SIZE_MIN = 65536,
    STORE_CHUNK_SIZE_MAX = 4194304,
    STORE_RUN_MAX = 16,             /* neighbouring chunks compressed together in one record */
    STORE_RUN_BYTES_MAX = 16777216, /* and at most so many bytes of them */
};

struct store_settings {
    uint32_t chunk_size;               /* a power of two in the limits above; 0: the default */
    const struct store_secret *secret; /* opens an encrypted store; NULL: it is not encrypted. For good. */
    unsigned scrypt_cost; /* of a passphrase, log2 of N: 10 to 20; 0: the default, 16 (64 MiB of memory) */
};

/* Make an empty store in a new or empty directory. FILE_FAILED when it holds anything. */
int store_create(const char *directory, const struct store_settings *settings, struct error *err);

/* Whether the directory holds a store, whole or not. */
bool store_exists(const char *directory);

struct store_open_options {
    uint64_t reserved_bytes; /* free space that backups leave alone, for index, catalog and clean-up; 0: the
                                default, 1 %, but 64 MiB to 1 GiB, and an eighth of a small disk at most */
    const struct store_secret *secret; /* for an encrypted store; NULL otherwise */
    unsigned scrypt_cost;              /* of passphrases that are added; 0: the default */
    uint32_t container_bytes;          /* where containers are sealed; 0: the default, 64 MiB, the most */
};

/* Open, replay what a crash left (containers not yet in the index are scanned, nothing valid is cut away),
 * rebuild the index when it is missing or unusable. STORE_LOCKED, STORE_INVALID, STORE_UNAVAILABLE,
 * STORE_KEY_WRONG (also for a secret that a plain store does not need); nothing is changed then. */
struct store *store_open(const char *directory, const struct store_open_options *options, struct error *err);
/* Syncs, seals nothing, releases the lock. NULL is fine. */
void store_close(struct store *store);

const char *store_id(const struct store *store); /* UUID, as long as the store is open */
const char *store_directory(const struct store *store);
uint32_t store_chunk_size(const struct store *store);
bool store_is_encrypted(const struct store *store);

/* Make everything put before this call durable and visible to lookups after a crash. Calls from several
 * threads are merged. STORE_FULL, STORE_UNAVAILABLE. */
int store_sync(struct store *store, struct error *err);

/* STORE_FULL while less than the reserved space is free: then nothing is added. */
int store_check_room(struct store *store, struct error *err);

struct store_status {
    uint64_t containers;
    uint64_t container_bytes; /* on disk */
    uint64_t chunks;          /* distinct, stored */
    uint64_t chunk_bytes;     /* their plain size */
    uint64_t nodes;           /* map nodes stored */
    uint64_t points;
    uint64_t damaged_chunks; /* quarantined, not healed yet */
    uint64_t index_bytes;
    uint64_t free_bytes; /* of the file system */
    uint64_t total_bytes;
    bool encrypted;
};

int store_status_read(struct store *store, struct store_status *status, struct error *err);

#endif
