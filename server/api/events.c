#include "server/api/events.h"

#include "base/clock.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct events {
    pthread_mutex_t lock; /* guards everything */
    struct event ring[EVENTS_KEPT];
    unsigned first;
    unsigned count;
    size_t bytes;
    uint64_t newest;
    void (*published)(void *cookie);
    void *cookie;
};

struct events *events_create(void)
{
    struct events *events = memory_zalloc(sizeof *events);
    pthread_mutex_init(&events->lock, NULL);
    events->newest = (uint64_t)clock_wall_ms() * 1000; /* behind those of a former life */
    return events;
}

static void drop_oldest(struct events *events)
{
    struct event *oldest = &events->ring[events->first];
    events->bytes -= strlen(oldest->text);
    free(oldest->text);
    events->first = (events->first + 1) % EVENTS_KEPT;
    events->count--;
}

void events_destroy(struct events *events)
{
    if (events == NULL) {
        return;
    }
    while (events->count > 0) {
        drop_oldest(events);
    }
    pthread_mutex_destroy(&events->lock);
    free(events);
}

void events_publish(struct events *events, enum event_kind kind, const char *subject, char *text)
{
    if (text == NULL) {
        return;
    }
    size_t length = strlen(text);
    pthread_mutex_lock(&events->lock);
    while (events->count > 0 && (events->count == EVENTS_KEPT || events->bytes + length > EVENTS_BYTES_MAX)) {
        drop_oldest(events);
    }
    struct event *event = &events->ring[(events->first + events->count) % EVENTS_KEPT];
    *event = (struct event){.number = ++events->newest, .kind = kind, .text = text};
    strncpy(event->subject, subject, sizeof event->subject - 1);
    events->count++;
    events->bytes += length;
    if (events->published != NULL) {
        events->published(events->cookie);
    }
    pthread_mutex_unlock(&events->lock);
}

void events_listen(struct events *events, void (*published)(void *cookie), void *cookie)
{
    pthread_mutex_lock(&events->lock);
    events->published = published;
    events->cookie = cookie;
    pthread_mutex_unlock(&events->lock);
}

uint64_t events_newest(struct events *events)
{
    pthread_mutex_lock(&events->lock);
    uint64_t newest = events->newest;
    pthread_mutex_unlock(&events->lock);
    return newest;
}

uint64_t events_read(struct events *events, uint64_t after,
                     void (*take)(void *cookie, const struct event *event), void *cookie, bool *missed)
{
    pthread_mutex_lock(&events->lock);
    uint64_t newest = events->newest;
    *missed = after > newest || after < newest - events->count;
    for (unsigned i = 0; i < events->count; i++) {
        const struct event *event = &events->ring[(events->first + i) % EVENTS_KEPT];
        if (event->number > after || after > newest) {
            take(cookie, event);
        }
    }
    pthread_mutex_unlock(&events->lock);
    return newest;
}
