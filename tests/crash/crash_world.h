/*
 * A store over a crash_fs, what was done to it, and what must therefore hold.
 */
#ifndef HOLDFAST_TESTS_CRASH_WORLD_H
#define HOLDFAST_TESTS_CRASH_WORLD_H

#include "crash_fs.h"

#include "storage/maintenance.h"
#include <stdnoreturn.h>

enum { CHUNKS = 10, POINTS_MAX = 24, ROOTS_MAX = 4 };

/* A disk of a few chunks far apart, so that its map has two levels; each a function of its seed, 0: zeros. */
struct model_disk {
    uint32_t seeds[CHUNKS];
    struct chunk_name root;
};

enum fate { FATE_NONE, FATE_COMMITTING, FATE_COMMITTED, FATE_DELETING, FATE_DELETED };

struct model_point {
    char id[IDENTITY_SIZE];
    struct model_disk disk;
    enum fate fate;
};

struct world {
    struct crash_fs *fs;
    char index_path[128];
    char real_path[128]; /* for a store that is written out to a real directory */
    bool encrypted;
    bool reopens; /* in the middle of the work */
    struct model_point points[POINTS_MAX];
    size_t point_count;
    char datasource[IDENTITY_SIZE];
    struct model_disk partials[ROOTS_MAX]; /* saved one over the other */
    size_t partial_count;
    bool partial_sure;    /* the last save or removal came back with success */
    bool partial_removed; /* it was a removal */
    unsigned failures;    /* steps of the work that failed */
    enum error_code first_failure;
};

/* Set by the caller, called by die: says on stderr how to try the same again. */
extern void (*world_explain)(void);
noreturn void die(const char *what, const struct error *err);

/* An empty file system, no index. */
void world_begin(struct world *world, bool encrypted);
void world_end(struct world *world);
int world_create_store(struct world *world, struct error *err);
struct store *world_open_store(struct world *world, struct error *err);
void world_remove_index(const struct world *world);

/* Some days' work, from opening to closing the store; the steps behind a failed one are done all the same.
 * Dies when a step fails with another error than STORE_FULL or STORE_UNAVAILABLE. Keeps the store open and
 * gives it, NULL when it could not be opened. */
struct store *world_work(struct world *world);

/* All that was committed is there and reads bit for bit, what was not is absent or whole, nothing is damaged.
 * Dies otherwise. */
void world_check(struct world *world, struct store *store);
/* The store takes a new backup that builds on whatever is found, and can be collected. */
void world_go_on(struct world *world, struct store *store);
void world_collect(struct world *world, struct store *store);

#endif
