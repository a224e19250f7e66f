#include "storage/collect_mark.h"

#include "base/memory.h"
#include "storage/collect_walk.h"
#include <stdlib.h>
#include <string.h>

enum {
    NODES_AT_ONCE = 4096,
    WATCH_EVERY = 1024, /* nodes */
    THREADS = 2,        /* the caller's included */
};

/* The caller hands out one batch of nodes after the other, takes part in walking it, and waits for the
 * others: so a tree is marked whole before the next one, which is compared with it. */
struct marker {
    struct store *store;
    marker_watch watch;
    void *cookie;
    uint64_t watched; /* nodes, when it was called last */
    struct walker walkers[THREADS];
    pthread_t helpers[THREADS - 1];
    unsigned helper_count;

    pthread_mutex_t lock; /* guards what follows; taken alone */
    pthread_cond_t changed;
    struct marker_figures figures;
    struct walk_steps waiting; /* a stack: depth first, so that it stays short */
    struct walk_step batch[NODES_AT_ONCE];
    size_t batch_count;
    size_t batch_next; /* what nobody has taken yet */
    unsigned busy;     /* helpers in the batch */
    bool ending;
    int result; /* of the tree */
    struct error failure;
};

struct marker *marker_create(struct store *store, marker_watch watch, void *cookie)
{
    struct marker *marker = memory_zalloc(sizeof *marker);
    marker->store = store;
    marker->watch = watch;
    marker->cookie = cookie;
    pthread_mutex_init(&marker->lock, NULL);
    pthread_cond_init(&marker->changed, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        walker_init(&marker->walkers[i], store);
    }
    return marker;
}

void marker_destroy(struct marker *marker)
{
    if (marker == NULL) {
        return;
    }
    pthread_mutex_lock(&marker->lock);
    marker->ending = true;
    pthread_cond_broadcast(&marker->changed);
    pthread_mutex_unlock(&marker->lock);
    for (unsigned i = 0; i < marker->helper_count; i++) {
        pthread_join(marker->helpers[i], NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        walker_clear(&marker->walkers[i]);
    }
    pthread_mutex_destroy(&marker->lock);
    pthread_cond_destroy(&marker->changed);
    free(marker->waiting.items);
    free(marker);
}

const struct marker_figures *marker_figures(const struct marker *marker)
{
    return &marker->figures;
}

/* --- a batch */

/* With the lock held. The first failure counts, and ends the work of all. */
static void note_failure(struct marker *marker, const struct error *err)
{
    if (marker->result == 0) {
        marker->result = -1;
        marker->failure = *err;
    }
}

/* With the lock held. */
static void take_results(struct marker *marker, struct walker *walker, int result, const struct error *err)
{
    if (result != 0) {
        note_failure(marker, err);
    }
    marker->figures.nodes += walker->nodes;
    marker->figures.chunks += walker->chunks;
    walk_steps_add(&marker->waiting, walker->found.items, walker->found.count);
    walker->nodes = walker->chunks = walker->found.count = 0;
}

static bool is_work_left(const struct marker *marker)
{
    return marker->result == 0 && marker->batch_next < marker->batch_count;
}

/* With the lock held, which is given up meanwhile. */
static void call_watch(struct marker *marker)
{
    struct error err;
    struct marker_figures figures = marker->figures;
    if (figures.nodes - marker->watched < WATCH_EVERY) {
        return;
    }
    marker->watched = figures.nodes;
    pthread_mutex_unlock(&marker->lock);
    int result = marker->watch(marker->cookie, &figures, &err);
    pthread_mutex_lock(&marker->lock);
    if (result != 0) {
        note_failure(marker, &err);
    }
}

/* Walk what is left of the batch, a few nodes at a time. With the lock held, which is given up meanwhile. */
static void walk_batch(struct marker *marker, struct walker *walker, bool caller)
{
    struct error err;
    while (is_work_left(marker)) {
        const struct walk_step *steps = marker->batch + marker->batch_next;
        size_t left = marker->batch_count - marker->batch_next;
        size_t count = left < WALKER_STEPS_MAX ? left : WALKER_STEPS_MAX;
        marker->batch_next += count;
        pthread_mutex_unlock(&marker->lock);
        int result = walker_walk(walker, steps, count, &err);
        pthread_mutex_lock(&marker->lock);
        take_results(marker, walker, result, &err);
        if (caller) {
            call_watch(marker);
        }
    }
    if (marker->result == 0) {
        pthread_mutex_unlock(&marker->lock);
        int result = walker_finish(walker, &err);
        pthread_mutex_lock(&marker->lock);
        take_results(marker, walker, result, &err);
    }
}

struct helper {
    struct marker *marker;
    struct walker *walker;
};

static void *helper_main(void *cookie)
{
    struct helper helper = *(struct helper *)cookie;
    struct marker *marker = helper.marker;
    free(cookie);
    pthread_mutex_lock(&marker->lock);
    while (!marker->ending) {
        if (is_work_left(marker)) {
            marker->busy++;
            walk_batch(marker, helper.walker, false);
            marker->busy--;
            pthread_cond_broadcast(&marker->changed);
        } else {
            pthread_cond_wait(&marker->changed, &marker->lock);
        }
    }
    pthread_mutex_unlock(&marker->lock);
    return NULL;
}

/* Without them it takes longer, no more. */
static void start_helpers(struct marker *marker)
{
    while (marker->helper_count < THREADS - 1) {
        struct helper *helper = memory_zalloc(sizeof *helper);
        *helper = (struct helper){.marker = marker, .walker = &marker->walkers[marker->helper_count + 1]};
        if (pthread_create(&marker->helpers[marker->helper_count], NULL, helper_main, helper) != 0) {
            free(helper);
            return;
        }
        marker->helper_count++;
    }
}

/* --- a tree */

static int compare_places(const void *a, const void *b)
{
    const struct chunk_location *left = &((const struct walk_step *)a)->location;
    const struct chunk_location *right = &((const struct walk_step *)b)->location;
    if (left->container != right->container) {
        return left->container < right->container ? -1 : 1;
    }
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* Many of the nodes that wait, in the order in which they lie on the disk: a backup wrote those of one level
 * one behind the other. With the lock held, which is given up meanwhile. */
static void walk_some(struct marker *marker)
{
    struct walk_steps *waiting = &marker->waiting;
    marker->batch_count = waiting->count < NODES_AT_ONCE ? waiting->count : NODES_AT_ONCE;
    waiting->count -= marker->batch_count;
    memcpy(marker->batch, waiting->items + waiting->count, marker->batch_count * sizeof *marker->batch);
    qsort(marker->batch, marker->batch_count, sizeof *marker->batch, compare_places);
    marker->batch_next = 0;
    if (marker->batch_count > WALKER_STEPS_MAX) {
        start_helpers(marker);
        pthread_cond_broadcast(&marker->changed);
    }
    walk_batch(marker, &marker->walkers[0], true);
    while (marker->busy > 0) {
        pthread_cond_wait(&marker->changed, &marker->lock);
    }
    call_watch(marker); /* perhaps the others have done it all */
}

int marker_add_tree(struct marker *marker, const struct chunk_name *root, const struct chunk_name *like,
                    struct error *err)
{
    struct walker *walker = &marker->walkers[0];
    if (chunk_name_is_zero(root) || chunk_name_equal(root, like)) {
        return 0;
    }
    int result = walker_add_root(walker, root, like, err);
    if (result == 0) {
        result = walker_finish(walker, err);
    }
    pthread_mutex_lock(&marker->lock);
    take_results(marker, walker, result, err);
    while (marker->result == 0 && marker->waiting.count > 0) {
        walk_some(marker);
    }
    result = marker->result;
    pthread_mutex_unlock(&marker->lock);
    if (result != 0) {
        *err = marker->failure;
    }
    return result;
}
