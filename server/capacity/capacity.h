/*
 * Room: what the store uses and will use, when to warn, and what is kept free so that a full disk can be
 * freed again. Thread-safe; blocks on the disk.
 */
#ifndef HOLDFAST_SERVER_CAPACITY_CAPACITY_H
#define HOLDFAST_SERVER_CAPACITY_CAPACITY_H

#include "base/config.h"
#include "server/capacity/forecast.h"
#include "server/catalog/catalog.h"
#include "storage/store.h"

struct capacity;

/* Before the store and the catalog are opened: on a full disk they need the reserve. CONFIG_INVALID. */
struct capacity *capacity_open(const char *data_directory, const struct config *config, struct error *err);
/* Both are borrowed until capacity_close. A store on a disk of its own gets a reserve there. */
int capacity_watch(struct capacity *capacity, struct store *store, struct catalog *catalog,
                   struct error *err);
void capacity_close(struct capacity *capacity); /* NULL is fine */

/* The disk is full: release what is reserved. True when there is more room now. */
bool capacity_make_room(struct capacity *capacity);
/* For what frees space, before it begins: releases the reserve where little else is free. */
void capacity_prepare_collection(struct capacity *capacity);
/* STORE_FULL: nothing may be added to the store now. */
int capacity_check_room(struct capacity *capacity, struct error *err);
/* Now and then: reserves, the day's sample, a log line when the state changes. Failures are logged. */
void capacity_look(struct capacity *capacity);

enum capacity_state { CAPACITY_OK, CAPACITY_WARNING, CAPACITY_CRITICAL, CAPACITY_FULL };
const char *capacity_state_name(enum capacity_state state); /* "ok", "warning", "critical", "full" */

struct capacity_status {
    struct store_status store;
    unsigned used_percent; /* of the store's disk */
    uint64_t reserved_bytes;
    bool reserve_held;
    struct forecast forecast;
    int64_t full_ms; /* FORECAST_GROWS: when, otherwise 0 */
    enum capacity_state state;
    char reason[160]; /* of a state that is not ok */
};
int capacity_read(struct capacity *capacity, struct capacity_status *status, struct error *err);

/* What these VMs need in the store under this policy, at most, by their sizes, a twentieth of each disk that
 * changes in a day, and how well the store packs what it has; what their points take already is part of it.
 * Ids. VM_NOT_FOUND. */
int capacity_expect(struct capacity *capacity, const char *const *vm_ids, size_t count,
                    const struct catalog_policy *policy, uint64_t *need_bytes, uint64_t *free_bytes,
                    struct error *err);

#endif
