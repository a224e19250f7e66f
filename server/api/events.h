/*
 * What happens, for those who watch: a ring of the newest events, each a JSON text. Publishing never waits
 * for a watcher: who reads too late has missed some, and is told so. Thread-safe; nothing here blocks.
 */
#ifndef HOLDFAST_SERVER_EVENTS_H
#define HOLDFAST_SERVER_EVENTS_H

#include "base/identity.h"
#include <stdbool.h>
#include <stdint.h>

struct events;

enum event_kind { EVENT_JOB, EVENT_HOST };

struct event {
    uint64_t number; /* rises, also from one life of the server to the next */
    enum event_kind kind;
    char subject[IDENTITY_SIZE]; /* the job's or host's id */
    char *text;                  /* JSON on one line */
};

enum { EVENTS_KEPT = 2048, EVENTS_BYTES_MAX = 4 * 1024 * 1024 };

struct events *events_create(void);
void events_destroy(struct events *events); /* NULL is fine */

/* text is taken over (malloc'd); NULL is ignored. */
void events_publish(struct events *events, enum event_kind kind, const char *subject, char *text);

/* published(cookie) is called after each event, on the publisher's thread: it must not block and not call
 * back. NULL ends that; afterwards it is not called any more. */
void events_listen(struct events *events, void (*published)(void *cookie), void *cookie);

/* The number of the newest event so far. */
uint64_t events_newest(struct events *events);
/* Each event behind number `after`, oldest first; take must not block. Gives the newest number. *missed tells
 * that there were more, which the ring has forgotten, or that `after` is none of its numbers. */
uint64_t events_read(struct events *events, uint64_t after,
                     void (*take)(void *cookie, const struct event *event), void *cookie, bool *missed);

#endif
