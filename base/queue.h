/*
 * A bounded first-in first-out queue of pointers between threads.
 */
#ifndef HOLDFAST_BASE_QUEUE_H
#define HOLDFAST_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue;

struct queue *queue_create(size_t capacity);
/* The queue must be empty or its items unowned: they are not freed. */
void queue_destroy(struct queue *queue);
/* Blocks while the queue is full. False when it is closed (the item is then still the caller's). */
bool queue_push(struct queue *queue, void *item);
/* Never blocks. False when it is full or closed. For event loops. */
bool queue_try_push(struct queue *queue, void *item);
/* Blocks while the queue is empty and open. False when it is closed and drained. */
bool queue_pop(struct queue *queue, void **item);
/* As queue_pop, waiting at most timeout_ms; false as well when the time is over. */
bool queue_pop_timed(struct queue *queue, void **item, unsigned timeout_ms);
bool queue_try_pop(struct queue *queue, void **item);
/* Wakes everybody. Pushing fails from now on, popping drains what is left. */
void queue_close(struct queue *queue);
size_t queue_length(struct queue *queue);

#endif
