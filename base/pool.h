/*
 * A pool of worker threads behind a bounded queue, for work that blocks or computes.
 */
#ifndef HOLDFAST_BASE_POOL_H
#define HOLDFAST_BASE_POOL_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

struct pool;
typedef void (*pool_work)(void *cookie);

/* name: of the threads, at most 15 characters. */
struct pool *pool_create(const char *name, size_t threads, size_t queue_capacity, struct error *err);
/* Blocks while the queue is full. False when the pool is being destroyed. */
bool pool_submit(struct pool *pool, pool_work work, void *cookie);
/* Never blocks; false when the queue is full. For event loops. */
bool pool_try_submit(struct pool *pool, pool_work work, void *cookie);
/* Runs what is queued to its end, then joins the threads. */
void pool_destroy(struct pool *pool);

#endif
