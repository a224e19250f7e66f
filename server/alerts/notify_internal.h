/* What notify.c, which puts messages into the outbox, and notify_workers.c, which delivers them, share. */
#ifndef HOLDFAST_SERVER_ALERTS_NOTIFY_INTERNAL_H
#define HOLDFAST_SERVER_ALERTS_NOTIFY_INTERNAL_H

#include "base/identity.h"
#include "server/alerts/notify.h"
#include <pthread.h>
#include <stdatomic.h>

struct notify_worker {
    struct notify *notify;
    pthread_t thread;
    char receiver[IDENTITY_SIZE]; /* that it delivers to; "": none */
};

struct notify {
    struct notify_options options; /* texts are copies */
    char *data_directory;
    char *server_id;
    atomic_bool stopping;
    struct notify_worker workers[NOTIFY_WORKERS];
    size_t started;             /* of them */
    pthread_mutex_t claim_lock; /* guards `receiver` of all; the catalog's lock is taken inside */
    pthread_mutex_t lock;       /* guards `changes`; nothing is locked inside */
    pthread_cond_t changed;
    uint64_t changes; /* how often there may have been something new */
};

#endif
