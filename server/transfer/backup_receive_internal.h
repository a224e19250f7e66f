/* Inside the module: a backup's transfer, its disks and its connections. */
#ifndef HOLDFAST_SERVER_BACKUP_RECEIVE_INTERNAL_H
#define HOLDFAST_SERVER_BACKUP_RECEIVE_INTERNAL_H

#include "server/transfer/backup_receive.h"
#include "server/transfer/name_set.h"
#include "storage/map.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    RECEIVE_LANES_MAX = 8,
    RECEIVE_OFFER_MAX = 4096, /* names in one offer */
    RECEIVE_NAMED_FACTOR = 2,
    RECEIVE_NAMED_SLACK = 1024,
    RECEIVE_SESSION_NAMES = 262144,           /* 16 GiB of new data are deduplicated before they travel */
    RECEIVE_PARTIAL_BYTES = 32 * 1024 * 1024, /* partial maps are saved so often at most */
    RECEIVE_PARTIAL_MS = 1000,
};

struct receive_disk {
    char *name;
    char *format;
    uint64_t size;
    uint64_t chunk_count;
    bool incremental;
    struct map_writer *writer;
    struct map_reader *parent; /* as the parent point has it, for chunks that moved; NULL: there is none */
    uint64_t parent_chunks;
    struct map_reader *partial; /* of an interrupted try, or NULL */
    struct map_reader *seed;    /* given by an operator as the first copy, or NULL */
    uint64_t transferred;       /* plain bytes that arrived */
};

struct receive_lane {
    struct backup_receive *receive;
    struct stream *stream;
    pthread_t thread;
    uint64_t wanted;  /* entries asked for */
    uint64_t arrived; /* and come */
};

struct backup_receive {
    struct backup_receive_options options;
    char *job;
    struct point *point;
    struct receive_disk *disks;
    size_t disk_count;
    atomic_uint_least64_t settled;
    uint64_t expected;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    atomic_uint_fast64_t named; /* chunks that were offered, ranges of zeros */
    uint64_t named_max;
    struct store_writer *store_writer;
    struct name_set *session; /* names put by this job */
    struct receive_lane lanes[RECEIVE_LANES_MAX];
    unsigned lane_count;
    unsigned lanes_finished;  /* FINISH came */
    unsigned lanes_ended;     /* thread is at its end */
    unsigned lanes_announced; /* by FINISH */
    bool committing;
    bool ended; /* done was called, or is being called */
    bool failed;
    struct error why;
    uint64_t read_bytes;
    uint64_t wire_bytes;
    uint64_t stored_bytes;
    uint64_t since_partial;
    int64_t partial_ms;

    /* Guards the disks' maps: a lock of its own, since nodes are read from the store under it. Taken inside
     * none. */
    pthread_mutex_t map_lock;
};

/* The messages of a lane, until its end. */
int receive_messages(struct receive_lane *lane, struct error *err);
/* Save what every disk has as partial maps. Failures are logged. */
void receive_save_partials(struct backup_receive *receive);
/* Flush maps, commit the point. */
int receive_commit(struct backup_receive *receive, struct error *err);

#endif
