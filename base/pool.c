#include "base/pool.h"

#include "base/memory.h"
#include "base/queue.h"
#include <pthread.h>
#include <stdlib.h>

struct pool_item {
    pool_work work;
    void *cookie;
};

struct pool {
    struct queue *queue;
    pthread_t *threads;
    size_t thread_count;
};

static void *pool_thread(void *cookie)
{
    struct pool *pool = cookie;
    void *popped;
    while (queue_pop(pool->queue, &popped)) {
        struct pool_item item = *(struct pool_item *)popped;
        free(popped);
        item.work(item.cookie);
    }
    return NULL;
}

struct pool *pool_create(const char *name, size_t threads, size_t queue_capacity, struct error *err)
{
    struct pool *pool = memory_zalloc(sizeof *pool);
    pool->queue = queue_create(queue_capacity);
    pool->threads = memory_array(threads, sizeof *pool->threads);
    for (size_t i = 0; i < threads; i++) {
        int errnum = pthread_create(&pool->threads[i], NULL, pool_thread, pool);
        if (errnum != 0) {
            error_set_errno(err, ERROR_LIMIT_EXCEEDED, errnum, "Threads for %s could not be started", name);
            pool_destroy(pool);
            return NULL;
        }
        pthread_setname_np(pool->threads[i], name);
        pool->thread_count++;
    }
    return pool;
}

static struct pool_item *pool_item_create(pool_work work, void *cookie)
{
    struct pool_item *item = memory_alloc(sizeof *item);
    *item = (struct pool_item){.work = work, .cookie = cookie};
    return item;
}

bool pool_submit(struct pool *pool, pool_work work, void *cookie)
{
    struct pool_item *item = pool_item_create(work, cookie);
    if (!queue_push(pool->queue, item)) {
        free(item);
        return false;
    }
    return true;
}

bool pool_try_submit(struct pool *pool, pool_work work, void *cookie)
{
    struct pool_item *item = pool_item_create(work, cookie);
    if (!queue_try_push(pool->queue, item)) {
        free(item);
        return false;
    }
    return true;
}

void pool_destroy(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    queue_close(pool->queue);
    for (size_t i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    queue_destroy(pool->queue);
    free(pool->threads);
    free(pool);
}
