/*
 * Inside the room: the state that a collection shares with writers and readers. All of it is guarded by
 * users.lock, which is taken behind the gate and before the locks of appending; nothing is read from the
 * index under it.
 */
#ifndef HOLDFAST_STORAGE_COLLECT_INTERNAL_H
#define HOLDFAST_STORAGE_COLLECT_INTERNAL_H

#include "storage/marks.h"
#include "storage/writers.h"
#include <pthread.h>

enum collect_phase {
    COLLECT_NONE,
    COLLECT_MARK,  /* what writers use is marked */
    COLLECT_SWEEP, /* what is not marked is not there for writers */
};

struct name_list {
    struct chunk_name *names;
    size_t count;
    size_t capacity;
};
void name_list_add(struct name_list *list, const struct chunk_name *name);

struct store_writer {
    struct store *store;
    uint64_t serial;
    struct name_list pins;
    struct store_writer *previous;
    struct store_writer *next;
};

/* A container that was emptied, until the leases that may read it have ended. */
struct doomed {
    uint64_t container;
    uint64_t serial;
    uint64_t bytes;
};

struct store_users {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a writer or a lease has ended */
    uint64_t serial;        /* of the newest writer or lease */
    struct store_writer *writers;
    struct store_lease *leases;
    struct doomed *doomed;
    size_t doomed_count;
    enum collect_phase phase;
    struct marks *marks;      /* of the collection */
    struct name_list touched; /* map nodes that writers use, to be marked with all below them */
    bool failed;              /* something could not be marked: the collection must not sweep */
    struct error failure;
};

void store_users_init(struct store_users *users);
/* When nobody uses the store any more. */
void store_users_destroy(struct store *store);

/* A writer has found this name at this place: true when it can count on it. With the gate held. */
bool store_writer_may_use(struct store *store, const struct chunk_name *name,
                          const struct chunk_location *location, bool node);

/* Remove the doomed containers that no lease can be reading; all of them with force. */
int store_reap(struct store *store, bool force, struct error *err);

/* Empty a container of the index and doom it. */
int collect_remove(struct store *store, uint64_t container, uint64_t bytes, struct error *err);
/* Append what is live of a container to the current one. *written grows by what was written; *damaged is set
 * when a live record does not read right: the container must stay then. */
int collect_rewrite(struct store *store, const struct marks *marks, uint64_t container, uint64_t *written,
                    bool *damaged, struct error *err);

#endif
