/*
 * Garbage collection: mark what recovery points and partial maps reach, through distinct map nodes, then
 * empty the containers that hold much else. What decides is reachability alone, no clock and no age. Only the
 * process that has the store open deletes, and only one collection at a time.
 *
 * 1. Begin: the current container is ended; only older ones are collected. Writers that are there are waited
 * for: what they use is in no recovery point yet. Writers that come now mark what they use.
 * 2. Mark, from the roots down. At its end, in one step, what is not marked stops being there for writers:
 * they store it again if they need it.
 * 3. Sweep: copies are durable and in the index before the old place leaves the index, and the container's
 * file goes when no reader can be in it.
 *
 * A crash loses nothing: marks are forgotten, containers that are emptied are gone or whole.
 */
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/collect_mark.h"
#include "storage/maintenance.h"
#include "storage/pace.h"
#include "storage/point_internal.h"
#include "storage/store_internal.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE_PERCENT_DEFAULT = 75, WAIT_MS = 200, BATCH_BYTES = 64 * 1024 * 1024 };

/* A disk of a recovery point. */
struct disk_root {
    char datasource[IDENTITY_SIZE];
    char point[IDENTITY_SIZE];
    uint32_t disk; /* a digest of its name: whoever shares it only makes the walk longer */
    int64_t time_ms;
    struct chunk_name root;
};

struct collection {
    struct store *store;
    const struct collect_options *options;
    maintenance_watch watch;
    void *cookie;
    struct collect_report *report;
    struct error *err;
    struct pace pace;
    uint64_t *containers;
    size_t container_count;
    struct marker *marker;
    struct disk_root *roots;
    size_t root_count;
    uint64_t *emptied; /* rewritten, not yet removed */
    uint64_t *emptied_bytes;
    size_t emptied_count;
    uint64_t written; /* since the last sync */
};

static int watch(struct collection *collection, const char *phase, uint64_t done, uint64_t total)
{
    struct maintenance_progress progress = {.phase = phase, .done = done, .total = total};
    return collection->watch != NULL && collection->watch(collection->cookie, &progress)
               ? error_set(collection->err, ERROR_JOB_CANCELLED, "The collection was cancelled")
               : 0;
}

/* --- 1. begin */

/* With users.lock held: gives it up for a moment, or until somebody ends. */
static void wait_for_users(struct store_users *users)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&users->changed, &users->lock, &until);
}

static bool has_writer_until(const struct store_users *users, uint64_t serial)
{
    for (const struct store_writer *writer = users->writers; writer != NULL; writer = writer->next) {
        if (writer->serial <= serial) {
            return true;
        }
    }
    return false;
}

static int list_old_containers(struct collection *collection, uint64_t boundary)
{
    uint64_t *ids;
    size_t count;
    if (store_list_containers(collection->store, &ids, &count, collection->err) != 0) {
        return -1;
    }
    while (count > 0 && ids[count - 1] >= boundary) {
        count--;
    }
    collection->containers = ids;
    collection->container_count = count;
    return 0;
}

static int begin(struct collection *collection)
{
    struct store *store = collection->store;
    struct store_users *users = &store->users;
    uint64_t boundary;
    pthread_rwlock_wrlock(&store->gate); /* nobody is in the middle of anything */
    int result = store_end_container(store, &boundary, collection->err);
    if (result == 0) {
        result = store_sync_gated(store, collection->err);
    }
    if (result == 0) {
        result = list_old_containers(collection, boundary);
    }
    pthread_mutex_lock(&users->lock);
    uint64_t serial = users->serial;
    if (result == 0) {
        users->marks = marks_create(store, collection->containers, collection->container_count);
        users->failed = false;
        users->phase = COLLECT_MARK;
    }
    pthread_mutex_unlock(&users->lock);
    pthread_rwlock_unlock(&store->gate);
    pthread_mutex_lock(&users->lock);
    while (result == 0 && has_writer_until(users, serial)) {
        wait_for_users(users);
        pthread_mutex_unlock(&users->lock);
        result = watch(collection, "wait", 0, 0);
        pthread_mutex_lock(&users->lock);
    }
    pthread_mutex_unlock(&users->lock);
    return result;
}

/* --- 2. mark */

static const struct chunk_name no_name;

static int watch_marks(void *cookie, const struct marker_figures *figures, struct error *err)
{
    struct collection *collection = cookie;
    int result = watch(collection, "mark", figures->nodes, 0);
    if (result != 0) {
        *err = *collection->err;
    }
    return result;
}

static int mark_tree(struct collection *collection, const struct chunk_name *root,
                     const struct chunk_name *like)
{
    return marker_add_tree(collection->marker, root, like, collection->err);
}

static int note_point(void *cookie, const char *id)
{
    struct collection *collection = cookie;
    struct error *err = collection->err;
    struct point *point = point_read(collection->store, id, err);
    if (point == NULL) {
        return err->code == ERROR_RP_NOT_FOUND ? 0 : -1; /* deleted since it was listed */
    }
    for (size_t i = 0; i < point->disk_count; i++) {
        collection->roots =
            memory_resize(collection->roots, collection->root_count + 1, sizeof *collection->roots);
        struct disk_root *root = &collection->roots[collection->root_count++];
        const char *name = point->disks[i].name;
        *root = (struct disk_root){.disk = digest_crc32c(0, name, strlen(name)),
                                   .time_ms = point->time_ms,
                                   .root = point->disks[i].root};
        memcpy(root->datasource, point->datasource, IDENTITY_SIZE);
        memcpy(root->point, point->id, IDENTITY_SIZE);
    }
    point_destroy(point);
    return 0;
}

static bool is_same_disk(const struct disk_root *a, const struct disk_root *b)
{
    return a->disk == b->disk && strcmp(a->datasource, b->datasource) == 0;
}

static int compare_roots(const void *a, const void *b)
{
    const struct disk_root *left = a;
    const struct disk_root *right = b;
    int datasources = strcmp(left->datasource, right->datasource);
    if (datasources != 0 || left->disk != right->disk) {
        return datasources != 0 ? datasources : left->disk < right->disk ? -1 : 1;
    }
    return left->time_ms < right->time_ms ? -1 : left->time_ms > right->time_ms;
}

/* Every disk's points one behind the other, so that each is walked beside the one before it. */
static int mark_points(struct collection *collection)
{
    int result = point_list(collection->store, note_point, collection, collection->err);
    if (result == 0 && collection->root_count > 1) {
        qsort(collection->roots, collection->root_count, sizeof *collection->roots, compare_roots);
    }
    for (size_t i = 0; i < collection->root_count && result == 0; i++) {
        const struct disk_root *one = &collection->roots[i];
        bool follows = i > 0 && is_same_disk(one, one - 1);
        result = mark_tree(collection, &one->root, follows ? &one[-1].root : &no_name);
        if (result != 0 && collection->err->code == ERROR_CHUNK_DAMAGED) {
            error_wrap(collection->err, ERROR_CHUNK_DAMAGED,
                       "Nothing is collected while recovery point %s can't be read whole", one->point);
        }
    }
    return result;
}

static int mark_partial(void *cookie, const struct chunk_name *root)
{
    return mark_tree(cookie, root, &no_name);
}

/* What the writers that are there now build on. */
static int mark_pins(struct collection *collection)
{
    struct store_users *users = &collection->store->users;
    struct name_list pins = {0};
    pthread_mutex_lock(&users->lock);
    for (const struct store_writer *writer = users->writers; writer != NULL; writer = writer->next) {
        for (size_t i = 0; i < writer->pins.count; i++) {
            name_list_add(&pins, &writer->pins.names[i]);
        }
    }
    pthread_mutex_unlock(&users->lock);
    int result = 0;
    for (size_t i = 0; i < pins.count && result == 0; i++) {
        result = mark_tree(collection, &pins.names[i], &no_name);
    }
    free(pins.names);
    return result;
}

/* What writers have used meanwhile, until there is nothing more: then, in the same step, the sweep begins. */
static int mark_touched(struct collection *collection)
{
    struct store_users *users = &collection->store->users;
    int result = 0;
    bool over = false;
    while (result == 0 && !over) {
        pthread_mutex_lock(&users->lock);
        struct name_list touched = users->touched;
        users->touched = (struct name_list){0};
        over = touched.count == 0;
        if (over && users->failed) {
            *collection->err = users->failure;
            result = -1;
        } else if (over && !collection->options->dry_run) {
            users->phase = COLLECT_SWEEP;
        }
        pthread_mutex_unlock(&users->lock);
        for (size_t i = 0; i < touched.count && result == 0; i++) {
            result = mark_tree(collection, &touched.names[i], &no_name);
        }
        free(touched.names);
    }
    return result;
}

static void prepare_index(struct store *store)
{
    pthread_rwlock_rdlock(&store->gate);
    pthread_mutex_lock(&store->sync_lock); /* one writer of the index at a time */
    index_flush_before_lookups(store->index);
    pthread_mutex_unlock(&store->sync_lock);
    pthread_rwlock_unlock(&store->gate);
    index_read_ahead(store->index);
}

static int mark(struct collection *collection)
{
    prepare_index(collection->store);
    /* What a damaged index does not find would be taken for garbage. */
    if (index_check(collection->store->index, collection->err) != 0) {
        return -1;
    }
    collection->marker = marker_create(collection->store, watch_marks, collection);
    int result =
        mark_points(collection) == 0 &&
                partial_list_roots(collection->store, mark_partial, collection, collection->err) == 0 &&
                mark_pins(collection) == 0
            ? mark_touched(collection)
            : -1;
    collection->report->nodes = marker_figures(collection->marker)->nodes;
    collection->report->chunks = marker_figures(collection->marker)->chunks;
    marker_destroy(collection->marker);
    return result;
}

/* --- 3. sweep */

/* A root that was not found when they were listed must not come back after a crash: its removal may have been
 * cut short before it was durable. */
static int settle_roots(struct collection *collection)
{
    struct backend *backend = collection->store->backend;
    int result = backend->operations->settle_folder(backend, "points", collection->err);
    return result == 0 ? backend->operations->settle_folder(backend, "partials", collection->err) : -1;
}

/* Rewritten containers leave once their copies are durable and in the index. */
static int remove_emptied(struct collection *collection)
{
    struct store *store = collection->store;
    if (collection->emptied_count == 0) {
        return 0;
    }
    int result = store_sync(store, collection->err);
    for (size_t i = 0; i < collection->emptied_count && result == 0; i++) {
        result = collect_remove(store, collection->emptied[i], collection->emptied_bytes[i], collection->err);
        collection->report->freed_bytes += result == 0 ? collection->emptied_bytes[i] : 0;
    }
    collection->emptied_count = 0;
    collection->written = 0;
    return result;
}

static int sweep_container(struct collection *collection, uint64_t container)
{
    struct store *store = collection->store;
    struct collect_report *report = collection->report;
    char name[STORE_CONTAINER_NAME_SIZE];
    struct marks_figures figures;
    uint64_t size;
    uint64_t written = 0;
    bool damaged = false;
    int found = store->backend->operations->size(store->backend, store_container_name(container, name), &size,
                                                 collection->err);
    if (found != 1) {
        return found;
    }
    pthread_mutex_lock(&store->users.lock);
    int result = marks_figures(store->users.marks, container, &figures, collection->err);
    pthread_mutex_unlock(&store->users.lock);
    if (result != 0) {
        return -1;
    }
    report->containers++;
    report->bytes += size;
    report->live_bytes += figures.live_bytes;
    if (figures.live_bytes * 100 >= figures.bytes * collection->options->live_percent && figures.bytes > 0) {
        return 0;
    }
    report->deleted += figures.live_bytes == 0;
    report->rewritten += figures.live_bytes > 0;
    if (collection->options->dry_run) {
        report->freed_bytes += size - figures.live_bytes;
        return 0;
    }
    if (figures.live_bytes > 0) {
        result = collect_rewrite(store, store->users.marks, container, &written, &damaged, collection->err);
        pace_spend(&collection->pace, size + written);
        report->written_bytes += written;
        report->freed_bytes -= written < report->freed_bytes ? written : report->freed_bytes;
        collection->written += written;
    }
    if (result != 0 || damaged) {
        report->rewritten -= damaged && result == 0;
        return result;
    }
    collection->emptied[collection->emptied_count] = container;
    collection->emptied_bytes[collection->emptied_count++] = size;
    struct error full; /* then nothing may wait: the copies are what is left of the reserve */
    return collection->written >= BATCH_BYTES || store_check_room(store, &full) != 0
               ? remove_emptied(collection)
               : 0;
}

/* What needs no copy goes first: on a full disk that makes the room for the copies. */
static int put_dead_first(struct collection *collection)
{
    struct store *store = collection->store;
    uint64_t *sorted = memory_array(collection->container_count + 1, sizeof *sorted);
    size_t dead = 0;
    size_t live = collection->container_count;
    int result = 0;
    pthread_mutex_lock(&store->users.lock);
    for (size_t i = collection->container_count; i > 0 && result == 0; i--) {
        struct marks_figures figures;
        result = marks_figures(store->users.marks, collection->containers[i - 1], &figures, collection->err);
        if (result == 0 && figures.live_bytes > 0) {
            sorted[--live] = collection->containers[i - 1];
        } else if (result == 0) {
            sorted[dead++] = collection->containers[i - 1];
        }
    }
    pthread_mutex_unlock(&store->users.lock);
    uint64_t *unsorted = collection->containers;
    collection->containers = result == 0 ? sorted : unsorted;
    free(result == 0 ? unsorted : sorted);
    return result;
}

static int sweep(struct collection *collection)
{
    int result = put_dead_first(collection);
    collection->emptied = memory_array(collection->container_count + 1, sizeof *collection->emptied);
    collection->emptied_bytes =
        memory_array(collection->container_count + 1, sizeof *collection->emptied_bytes);
    for (size_t i = 0; i < collection->container_count && result == 0; i++) {
        result = sweep_container(collection, collection->containers[i]);
        if (result == 0) {
            result = watch(collection, "sweep", i + 1, collection->container_count);
        }
    }
    if (result == 0) {
        result = remove_emptied(collection);
    }
    free(collection->emptied);
    free(collection->emptied_bytes);
    return result;
}

/* --- all of it */

static void end(struct collection *collection)
{
    struct store_users *users = &collection->store->users;
    pthread_mutex_lock(&users->lock);
    collection->report->memory_bytes = users->marks != NULL ? marks_memory(users->marks) : 0;
    users->phase = COLLECT_NONE;
    marks_destroy(users->marks);
    users->marks = NULL;
    free(users->touched.names);
    users->touched = (struct name_list){0};
    pthread_mutex_unlock(&users->lock);
    free(collection->containers);
    free(collection->roots);
    pace_destroy(&collection->pace);
}

int store_collect(struct store *store, const struct collect_options *asked, maintenance_watch watch_progress,
                  void *cookie, struct collect_report *report, struct error *err)
{
    struct collect_options options = *asked;
    struct collection collection = {.store = store,
                                    .options = &options,
                                    .watch = watch_progress,
                                    .cookie = cookie,
                                    .report = report,
                                    .err = err};
    *report = (struct collect_report){0};
    if (options.live_percent == 0) {
        options.live_percent = LIVE_PERCENT_DEFAULT;
    }
    if (pthread_mutex_trylock(&store->maintenance_lock) != 0) {
        return error_set(err, ERROR_JOB_CONFLICT, "Store %s is being collected or rebuilt", store->directory);
    }
    pace_init(&collection.pace, options.bytes_per_second);
    int result = begin(&collection);
    if (result == 0) {
        result = mark(&collection);
    }
    if (result == 0 && !options.dry_run) {
        result = settle_roots(&collection);
    }
    if (result == 0) {
        result = sweep(&collection);
    }
    end(&collection);
    pthread_mutex_unlock(&store->maintenance_lock);
    return result;
}
