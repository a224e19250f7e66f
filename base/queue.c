#include "base/queue.h"

#include "base/clock.h"
#include "base/memory.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct queue {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t not_empty;
    pthread_cond_t not_full;
    void **items;
    size_t capacity;
    size_t first;
    size_t length;
    bool closed;
};

struct queue *queue_create(size_t capacity)
{
    struct queue *queue = memory_zalloc(sizeof *queue);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->not_empty, &monotonic);
    pthread_cond_init(&queue->not_full, &monotonic);
    pthread_condattr_destroy(&monotonic);
    queue->items = memory_array(capacity, sizeof *queue->items);
    queue->capacity = capacity;
    return queue;
}

void queue_destroy(struct queue *queue)
{
    if (queue == NULL) {
        return;
    }
    pthread_cond_destroy(&queue->not_full);
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->lock);
    free(queue->items);
    free(queue);
}

/* With the lock held, and room in the queue. */
static void queue_put(struct queue *queue, void *item)
{
    queue->items[(queue->first + queue->length) % queue->capacity] = item;
    queue->length++;
    pthread_cond_signal(&queue->not_empty);
}

/* With the lock held. */
static bool queue_take(struct queue *queue, void **item)
{
    if (queue->length == 0) {
        return false;
    }
    *item = queue->items[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->length--;
    pthread_cond_signal(&queue->not_full);
    return true;
}

bool queue_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->length == queue->capacity && !queue->closed) {
        pthread_cond_wait(&queue->not_full, &queue->lock);
    }
    bool open = !queue->closed;
    if (open) {
        queue_put(queue, item);
    }
    pthread_mutex_unlock(&queue->lock);
    return open;
}

bool queue_try_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    bool room = !queue->closed && queue->length < queue->capacity;
    if (room) {
        queue_put(queue, item);
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

bool queue_pop(struct queue *queue, void **item)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->length == 0 && !queue->closed) {
        pthread_cond_wait(&queue->not_empty, &queue->lock);
    }
    bool taken = queue_take(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

bool queue_pop_timed(struct queue *queue, void **item, unsigned timeout_ms)
{
    struct timespec until = clock_deadline(timeout_ms);
    pthread_mutex_lock(&queue->lock);
    int waited = 0;
    while (queue->length == 0 && !queue->closed && waited != ETIMEDOUT) {
        waited = pthread_cond_timedwait(&queue->not_empty, &queue->lock, &until);
    }
    bool taken = queue_take(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

bool queue_try_pop(struct queue *queue, void **item)
{
    pthread_mutex_lock(&queue->lock);
    bool taken = queue_take(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->lock);
}

size_t queue_length(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t length = queue->length;
    pthread_mutex_unlock(&queue->lock);
    return length;
}
