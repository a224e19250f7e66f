#include "server/transfer/backup_receive.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/transfer/backup_receive_internal.h"
#include <stdlib.h>
#include <string.h>

/* A map that saves sending; NULL when it can't. */
static struct map_reader *open_partial(struct backup_receive *receive, const struct backup_receive_disk *disk,
                                       uint64_t size, const struct chunk_name *root)
{
    struct error ignored;
    return size == disk->size && store_writer_pin(receive->store_writer, root, &ignored) == 0
               ? map_reader_open(receive->options.store, root, size, &ignored)
               : NULL;
}

static int open_disk(struct backup_receive *receive, struct receive_disk *disk,
                     const struct backup_receive_disk *from, struct error *err)
{
    struct store *store = receive->options.store;
    const struct point *parent = receive->options.parent;
    const struct point_disk *base = parent != NULL ? point_find_disk(parent, from->name) : NULL;
    struct chunk_name root;
    uint64_t size;
    disk->name = memory_copy_text(from->name);
    disk->format = memory_copy_text(from->format);
    disk->size = from->size;
    disk->chunk_count = map_chunk_count(store, from->size);
    disk->incremental = from->incremental;
    receive->expected += from->expected_bytes;
    receive->named_max += RECEIVE_NAMED_FACTOR * disk->chunk_count + RECEIVE_NAMED_SLACK;
    if (from->incremental && (base == NULL || base->size != from->size)) {
        return error_set(err, ERROR_PROTOCOL_INVALID,
                         "Disk %s can't be incremental: there is no such disk before it", from->name);
    }
    if (base != NULL && store_writer_pin(receive->store_writer, &base->root, err) != 0) {
        return -1;
    }
    disk->writer = map_writer_open(store, from->size, base != NULL ? &base->root : NULL,
                                   base != NULL ? base->size : 0, err);
    if (disk->writer == NULL && !from->incremental && err->code == ERROR_CHUNK_DAMAGED) {
        /* Everything is read anyway: a parent whose map is damaged only saves nothing. */
        disk->writer = map_writer_open(store, from->size, NULL, 0, err);
    }
    if (disk->writer == NULL) {
        return -1;
    }
    struct error ignored;
    if (base != NULL) {
        disk->parent = map_reader_open(store, &base->root, base->size, &ignored);
        disk->parent_chunks = map_chunk_count(store, base->size);
    }
    if (partial_load(store, receive->point->datasource, from->name, &size, &root, &ignored) == 1) {
        disk->partial = open_partial(receive, from, size, &root);
    }
    if (partial_load_seed(store, receive->point->datasource, from->name, &size, &root, &ignored) == 1) {
        disk->seed = open_partial(receive, from, size, &root);
    }
    return 0;
}

struct backup_receive *backup_receive_create(const struct backup_receive_options *options, struct error *err)
{
    struct backup_receive *receive = memory_zalloc(sizeof *receive);
    receive->options = *options;
    receive->job = memory_copy_text(options->job);
    receive->options.job = receive->job;
    receive->point = options->point;
    if (receive->options.connections > RECEIVE_LANES_MAX) {
        receive->options.connections = RECEIVE_LANES_MAX;
    }
    receive->session = name_set_create(RECEIVE_SESSION_NAMES);
    receive->store_writer = store_writer_begin(options->store);
    receive->partial_ms = clock_monotonic_ms();
    pthread_mutex_init(&receive->lock, NULL);
    pthread_mutex_init(&receive->map_lock, NULL);
    pthread_cond_init(&receive->changed, NULL);
    receive->disks = memory_array(options->disk_count, sizeof *receive->disks);
    for (size_t i = 0; i < options->disk_count; i++) {
        receive->disk_count++;
        if (open_disk(receive, &receive->disks[i], &options->disks[i], err) != 0) {
            backup_receive_destroy(receive);
            return NULL;
        }
    }
    return receive;
}

void receive_save_partials(struct backup_receive *receive)
{
    struct error err;
    for (size_t i = 0; i < receive->disk_count; i++) {
        struct receive_disk *disk = &receive->disks[i];
        struct chunk_name root;
        pthread_mutex_lock(&receive->map_lock);
        bool worth = disk->transferred > 0;
        int result = worth ? map_writer_flush(disk->writer, &root, &err) : 0;
        pthread_mutex_unlock(&receive->map_lock);
        if (worth && result == 0) {
            result = partial_save(receive->options.store, receive->point->datasource, disk->name, disk->size,
                                  &root, &err);
        }
        if (result != 0) {
            log_error("a partial map could not be saved", &err);
        }
    }
}

int receive_commit(struct backup_receive *receive, struct error *err)
{
    struct point *point = receive->point;
    for (size_t i = 0; i < receive->disk_count; i++) {
        struct receive_disk *from = &receive->disks[i];
        struct point_disk *disk = point_add_disk(point, from->name);
        disk->format = memory_copy_text(from->format);
        disk->size = from->size;
        disk->transferred_bytes = from->transferred;
        if (map_writer_flush(from->writer, &disk->root, err) != 0) {
            return -1;
        }
    }
    point->read_bytes = receive->read_bytes;
    point->sent_bytes = receive->wire_bytes;
    point->stored_bytes = receive->stored_bytes;
    if (point_commit(receive->options.store, point, err) != 0) {
        return -1;
    }
    struct error ignored;
    if (partial_remove(receive->options.store, point->datasource, &ignored) != 0) {
        log_error("partial maps could not be removed", &ignored);
    }
    return 0;
}

static void fail(struct backup_receive *receive, const struct error *why)
{
    pthread_mutex_lock(&receive->lock);
    if (!receive->failed && !receive->ended) {
        receive->failed = true;
        receive->why = *why;
    }
    throttle_stop(receive->options.throttle);
    for (unsigned i = 0; i < receive->lane_count; i++) {
        if (receive->lanes[i].stream != NULL) {
            stream_abort(receive->lanes[i].stream, why);
        }
    }
    pthread_cond_broadcast(&receive->changed);
    pthread_mutex_unlock(&receive->lock);
}

static void tell_failure(struct backup_receive *receive, const struct error *why)
{
    receive_save_partials(receive);
    receive->options.done(receive->options.cookie, NULL, why);
}

/* The lane whose FINISH was the last one commits for all. */
static void commit_for_all(struct backup_receive *receive)
{
    struct error err;
    if (receive_commit(receive, &err) != 0) {
        pthread_mutex_lock(&receive->lock);
        receive->failed = true;
        receive->why = err;
        receive->ended = true;
        pthread_mutex_unlock(&receive->lock);
        tell_failure(receive, &err);
    } else {
        struct point *point = receive->point;
        receive->point = NULL;
        receive->options.done(receive->options.cookie, point, NULL);
        pthread_mutex_lock(&receive->lock);
        receive->ended = true;
        pthread_mutex_unlock(&receive->lock);
    }
    pthread_mutex_lock(&receive->lock);
    receive->committing = false;
    pthread_cond_broadcast(&receive->changed);
    pthread_mutex_unlock(&receive->lock);
}

/* After FINISH: wait for the others and for the commit. 0 when the point is committed. */
static int finish_lane(struct receive_lane *lane, struct error *err)
{
    struct backup_receive *receive = lane->receive;
    pthread_mutex_lock(&receive->lock);
    receive->lanes_finished++;
    bool last = receive->lanes_finished == receive->lanes_announced && !receive->failed;
    if (last) {
        receive->committing = true;
        pthread_mutex_unlock(&receive->lock);
        commit_for_all(receive);
        pthread_mutex_lock(&receive->lock);
    }
    while (!receive->ended && !receive->failed) {
        pthread_cond_wait(&receive->changed, &receive->lock);
    }
    int result = receive->failed ? -1 : 0;
    if (result != 0) {
        *err = receive->why;
    }
    pthread_mutex_unlock(&receive->lock);
    return result;
}

/* The last lane of a failed transfer tells the outcome; nobody touches the maps any more. */
static void end_lane(struct receive_lane *lane)
{
    struct backup_receive *receive = lane->receive;
    struct error why;
    pthread_mutex_lock(&receive->lock);
    receive->lanes_ended++;
    bool tell = receive->failed && !receive->ended && receive->lanes_ended == receive->lane_count;
    if (tell) {
        receive->ended = true;
        why = receive->why;
    }
    pthread_mutex_unlock(&receive->lock);
    if (tell) {
        tell_failure(receive, &why);
    }
}

static void *lane_thread(void *cookie)
{
    struct receive_lane *lane = cookie;
    struct backup_receive *receive = lane->receive;
    struct error err;
    log_set_job(receive->job);
    int result = receive_messages(lane, &err);
    if (result == 0) {
        result = finish_lane(lane, &err);
    }
    if (result == 0) {
        Holdfast__Committed committed = HOLDFAST__COMMITTED__INIT;
        stream_send(lane->stream, HOLDFAST__DATA_TYPE__COMMITTED, &committed.base, NULL, 0, &err);
    } else {
        fail(receive, &err);
        pthread_mutex_lock(&receive->lock);
        err = receive->why;
        pthread_mutex_unlock(&receive->lock);
        stream_send_failure(lane->stream, &err);
    }
    pthread_mutex_lock(&receive->lock);
    struct stream *stream = lane->stream;
    lane->stream = NULL;
    pthread_mutex_unlock(&receive->lock);
    stream_close(stream);
    end_lane(lane);
    return NULL;
}

void backup_receive_add(struct backup_receive *receive, struct stream *stream)
{
    pthread_mutex_lock(&receive->lock);
    unsigned most = receive->lanes_announced != 0 ? receive->lanes_announced : receive->options.connections;
    bool taken = receive->lane_count < most && !receive->failed && !receive->ended;
    if (taken) {
        struct receive_lane *lane = &receive->lanes[receive->lane_count];
        *lane = (struct receive_lane){.receive = receive, .stream = stream};
        taken = pthread_create(&lane->thread, NULL, lane_thread, lane) == 0;
        receive->lane_count += taken;
    }
    pthread_mutex_unlock(&receive->lock);
    if (!taken) {
        stream_close(stream);
    }
}

bool backup_receive_abort(struct backup_receive *receive, const struct error *why)
{
    pthread_mutex_lock(&receive->lock);
    bool late = receive->committing || receive->ended;
    bool nobody = !late && receive->lanes_ended == receive->lane_count;
    if (nobody) {
        receive->ended = true;
        receive->failed = true;
        receive->why = *why;
    }
    pthread_mutex_unlock(&receive->lock);
    if (nobody) {
        tell_failure(receive, why);
    } else if (!late) {
        fail(receive, why);
    }
    return !late;
}

void backup_receive_progress(struct backup_receive *receive, struct transfer_progress *progress)
{
    pthread_mutex_lock(&receive->lock);
    progress->wire_bytes = receive->wire_bytes;
    progress->stored_bytes = receive->stored_bytes;
    pthread_mutex_unlock(&receive->lock);
    progress->total_bytes = receive->expected;
    progress->done_bytes = atomic_load(&receive->settled);
    if (progress->done_bytes > progress->total_bytes) {
        progress->done_bytes = progress->total_bytes;
    }
}

void backup_receive_destroy(struct backup_receive *receive)
{
    if (receive == NULL) {
        return;
    }
    for (unsigned i = 0; i < receive->lane_count; i++) {
        pthread_join(receive->lanes[i].thread, NULL);
    }
    for (size_t i = 0; i < receive->disk_count; i++) {
        free(receive->disks[i].name);
        free(receive->disks[i].format);
        map_writer_destroy(receive->disks[i].writer);
        map_reader_destroy(receive->disks[i].parent);
        map_reader_destroy(receive->disks[i].partial);
        map_reader_destroy(receive->disks[i].seed);
    }
    free(receive->disks);
    store_writer_end(receive->store_writer);
    name_set_destroy(receive->session);
    point_destroy(receive->point);
    throttle_close(receive->options.throttle);
    pthread_cond_destroy(&receive->changed);
    pthread_mutex_destroy(&receive->map_lock);
    pthread_mutex_destroy(&receive->lock);
    free(receive->job);
    free(receive);
}
