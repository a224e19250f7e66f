#include "agent/restore_receive.h"

#include "base/compress.h"
#include "base/digest.h"
#include "base/memory.h"
#include "base/pool.h"
#include "proto/rpc.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    RECEIVE_WORKERS = 3, /* decompression and digests on both cores, while a third waits for the disk */
    RECEIVE_WORKERS_BESIDE = 2, /* of each of several lanes */
    RECEIVE_QUEUE = 8,
    RECEIVE_TIMEOUT_MS = 600000, /* the server may be told to be slow; that it is there, pings tell */
    RECEIVE_POLL_MS = 1000,
    RECEIVE_RUN_MAX = 16,
    RECEIVE_RUN_BYTES_MAX = 16 * 1024 * 1024,
    RECEIVE_MEMORY = 64 * 1024 * 1024, /* for all connections of a restore; the agent has 128 MiB */
};

struct restore {
    const struct restore_receive_options *options;
    pthread_mutex_t lock; /* guards what follows, and what the lanes say it does */
    uint32_t next_disk;
    bool failed;
    struct error why; /* the first */
    uint64_t written;
};

/* A data connection with workers of its own, so that a disk that is slow holds up no other. It takes one disk
 * after the other. */
struct restore_lane {
    struct restore *restore;
    struct stream *stream;
    struct pool *pool;
    pthread_t thread;
    pthread_cond_t changed;
    unsigned pending; /* runs with the workers; restore->lock guards it, and: */
    uint64_t places;  /* of the disk in hand */
};

struct run_work {
    struct restore_lane *lane;
    struct stream_message *message;
    Holdfast__ChunkRun *run;
};

static int check_run(const struct restore *restore, const Holdfast__ChunkRun *run, struct error *err)
{
    const Holdfast__RestoreRequest *request = restore->options->request;
    size_t count = run->names.len / DIGEST_SIZE;
    bool good = run->disk < request->n_disks && run->names.len % DIGEST_SIZE == 0 && count >= 1 &&
                count <= RECEIVE_RUN_MAX && run->n_indices == run->n_positions && run->n_indices > 0;
    for (size_t i = 0; i < run->n_indices && good; i++) {
        uint64_t size = request->disks[run->disk]->size;
        good = run->positions[i] < count && run->indices[i] <= size / request->chunk_size &&
               run->indices[i] * request->chunk_size < size;
    }
    return good ? 0 : error_set(err, ERROR_PROTOCOL_INVALID, "The server sent a run that is not allowed");
}

static int check_names(const Holdfast__ChunkRun *run, const uint8_t *plain, uint32_t chunk_size,
                       struct error *err)
{
    for (size_t i = 0; i < run->names.len / DIGEST_SIZE; i++) {
        uint8_t name[DIGEST_SIZE];
        digest_sha256(plain + i * chunk_size, chunk_size, name);
        if (memcmp(name, run->names.data + i * DIGEST_SIZE, DIGEST_SIZE) != 0) {
            return error_set(err, ERROR_CHUNK_DAMAGED,
                             "A chunk arrived with other content than its name says");
        }
    }
    return 0;
}

static int write_run(struct restore *restore, const Holdfast__ChunkRun *run, const uint8_t *plain,
                     struct error *err)
{
    const Holdfast__RestoreRequest *request = restore->options->request;
    struct disk_writer *writer =
        restore->options->provider->restore_disk(restore->options->restore, run->disk);
    uint64_t size = request->disks[run->disk]->size;
    uint32_t chunk_size = request->chunk_size;
    for (size_t i = 0; i < run->n_indices;) {
        /* neighbours in the run that are neighbours on the disk are written together */
        size_t end = i + 1;
        while (end < run->n_indices && run->indices[end] == run->indices[end - 1] + 1 &&
               run->positions[end] == run->positions[end - 1] + 1) {
            end++;
        }
        uint64_t offset = run->indices[i] * chunk_size;
        uint64_t length = (uint64_t)(end - i) * chunk_size;
        length = size - offset < length ? size - offset : length;
        if (disk_writer_write(writer, offset, plain + (size_t)run->positions[i] * chunk_size, (size_t)length,
                              err) != 0) {
            return -1;
        }
        i = end;
    }
    return 0;
}

static int take_run(struct restore *restore, const struct run_work *work, struct error *err)
{
    const Holdfast__ChunkRun *run = work->run;
    uint32_t chunk_size = restore->options->request->chunk_size;
    if (check_run(restore, run, err) != 0) {
        return -1;
    }
    size_t length = run->names.len / DIGEST_SIZE * chunk_size;
    uint8_t *plain = memory_alloc(length);
    int result = -1;
    if (decompress_run((enum compression)run->compression, work->message->payload,
                       work->message->payload_length, plain, length) != 0) {
        error_set(err, ERROR_CHUNK_DAMAGED, "A run can't be decompressed");
    } else if (check_names(run, plain, chunk_size, err) == 0) {
        result = write_run(restore, run, plain, err);
    }
    free(plain);
    return result;
}

static void fail(struct restore *restore, const struct error *why)
{
    pthread_mutex_lock(&restore->lock);
    if (!restore->failed) {
        restore->failed = true;
        restore->why = *why;
    }
    pthread_mutex_unlock(&restore->lock);
}

/* Of any lane: one ends all. */
static int failure(struct restore *restore, struct error *err)
{
    pthread_mutex_lock(&restore->lock);
    bool failed = restore->failed;
    if (failed) {
        *err = restore->why;
    }
    pthread_mutex_unlock(&restore->lock);
    if (!failed && atomic_load(restore->options->cancelled)) {
        return error_set(err, ERROR_JOB_CANCELLED, "The job was cancelled");
    }
    return failed ? -1 : 0;
}

static void run_worker(void *cookie)
{
    struct run_work *work = cookie;
    struct restore_lane *lane = work->lane;
    struct restore *restore = lane->restore;
    struct error err;
    if (failure(restore, &err) == 0 && take_run(restore, work, &err) != 0) {
        fail(restore, &err);
    }
    stream_release(lane->stream, work->message);
    pthread_mutex_lock(&restore->lock);
    lane->places += work->run->n_indices;
    restore->written += work->run->n_indices * restore->options->request->chunk_size;
    lane->pending--;
    pthread_cond_broadcast(&lane->changed);
    pthread_mutex_unlock(&restore->lock);
    holdfast__chunk_run__free_unpacked(work->run, NULL);
    free(work);
}

static void drain(struct restore_lane *lane)
{
    pthread_mutex_lock(&lane->restore->lock);
    while (lane->pending > 0) {
        pthread_cond_wait(&lane->changed, &lane->restore->lock);
    }
    pthread_mutex_unlock(&lane->restore->lock);
}

/* Short waits, so that a cancel, or another lane's failure, is seen. */
static int receive(struct restore_lane *lane, struct stream_message **message, struct error *err)
{
    for (unsigned waited = 0;; waited += RECEIVE_POLL_MS) {
        if (failure(lane->restore, err) != 0) {
            return -1;
        }
        if (stream_receive(lane->stream, RECEIVE_POLL_MS, message, err) == 0) {
            return 0;
        }
        if (err->code != ERROR_PROTOCOL_TIMEOUT || waited >= RECEIVE_TIMEOUT_MS) {
            return -1;
        }
    }
}

static int hand_over(struct restore_lane *lane, uint32_t disk, struct stream_message *message,
                     struct error *err)
{
    Holdfast__ChunkRun *run = holdfast__chunk_run__unpack(NULL, message->message_length, message->message);
    if (run == NULL || run->disk != disk) {
        stream_release(lane->stream, message);
        if (run != NULL) {
            holdfast__chunk_run__free_unpacked(run, NULL);
        }
        return error_set(err, ERROR_PROTOCOL_INVALID, "A run can't be read, or is of another disk");
    }
    struct run_work *work = memory_alloc(sizeof *work);
    *work = (struct run_work){.lane = lane, .message = message, .run = run};
    pthread_mutex_lock(&lane->restore->lock);
    lane->pending++;
    pthread_mutex_unlock(&lane->restore->lock);
    pool_submit(lane->pool, run_worker, work);
    return 0;
}

static int end_disk(struct restore_lane *lane, const struct stream_message *message, uint32_t disk,
                    struct error *err)
{
    Holdfast__DiskEnd *end = holdfast__disk_end__unpack(NULL, message->message_length, message->message);
    drain(lane);
    int result = failure(lane->restore, err);
    if (result == 0 && (end == NULL || end->disk != disk || end->chunks != lane->places)) {
        result = error_set(err, ERROR_PROTOCOL_INVALID, "Disk %s did not arrive whole",
                           lane->restore->options->request->disks[disk]->name);
    }
    if (end != NULL) {
        holdfast__disk_end__free_unpacked(end, NULL);
    }
    return result;
}

static int receive_disk(struct restore_lane *lane, uint32_t disk, struct error *err)
{
    lane->places = 0; /* nothing is pending */
    for (;;) {
        struct stream_message *message;
        if (receive(lane, &message, err) != 0) {
            return -1;
        }
        if (message->type == HOLDFAST__DATA_TYPE__RUN) {
            if (hand_over(lane, disk, message, err) != 0) {
                return -1;
            }
            continue;
        }
        int result = message->type == HOLDFAST__DATA_TYPE__DISK_END
                         ? end_disk(lane, message, disk, err)
                         : error_set(err, ERROR_PROTOCOL_INVALID,
                                     "A message of type %u does not belong in a restore", message->type);
        stream_release(lane->stream, message);
        return result;
    }
}

/* Ask for a disk that nobody has taken yet, or say that there is none; *disk is n_disks then. */
static int ask(struct restore_lane *lane, uint32_t *disk, struct error *err)
{
    struct restore *restore = lane->restore;
    Holdfast__RestoreRead read = HOLDFAST__RESTORE_READ__INIT;
    Holdfast__Empty empty = HOLDFAST__EMPTY__INIT;
    uint32_t disks = (uint32_t)restore->options->request->n_disks;
    pthread_mutex_lock(&restore->lock);
    *disk = restore->next_disk;
    restore->next_disk += *disk < disks;
    pthread_mutex_unlock(&restore->lock);
    read.disk = *disk;
    bool none = *disk == disks;
    return stream_send(lane->stream, none ? HOLDFAST__DATA_TYPE__RESTORED : HOLDFAST__DATA_TYPE__READ,
                       none ? &empty.base : &read.base, NULL, 0, err);
}

static int lane_restore(struct restore_lane *lane, struct error *err)
{
    const struct restore_receive_options *options = lane->restore->options;
    uint32_t disk;
    int result = ask(lane, &disk, err);
    while (result == 0 && disk < options->request->n_disks) {
        uint32_t done = disk;
        if (receive_disk(lane, done, err) != 0 ||
            ask(lane, &disk, err) != 0) { /* the next one comes while this one is flushed */
            return -1;
        }
        result = disk_writer_flush(options->provider->restore_disk(options->restore, done), err);
    }
    return result;
}

static void *lane_run(void *cookie)
{
    struct restore_lane *lane = cookie;
    struct error err;
    if (lane_restore(lane, &err) != 0) {
        fail(lane->restore, &err);
        (void)failure(lane->restore, &err);
        stream_send_failure(lane->stream, &err);
    }
    drain(lane);
    return NULL;
}

static int lane_open(struct restore_lane *lane, struct restore *restore, bool alone, struct error *err)
{
    const struct restore_receive_options *options = restore->options;
    const Holdfast__RestoreRequest *request = options->request;
    lane->restore = restore;
    pthread_cond_init(&lane->changed, NULL);
    lane->pool = pool_create("restore", alone ? RECEIVE_WORKERS : RECEIVE_WORKERS_BESIDE, RECEIVE_QUEUE, err);
    if (lane->pool == NULL) {
        return -1;
    }
    lane->stream = stream_connect(options->loop, options->target, options->tls, request->session.data,
                                  request->session.len, err);
    return lane->stream == NULL ? -1 : 0;
}

static void lane_close(struct restore_lane *lane)
{
    if (lane->pool != NULL) {
        pool_destroy(lane->pool);
    }
    stream_close(lane->stream);
    pthread_cond_destroy(&lane->changed);
}

/* All are open before the first begins. One runs on this thread. */
static void run_lanes(struct restore *restore, struct restore_lane *lanes, unsigned count)
{
    unsigned started = 1;
    struct error err;
    while (started < count && pthread_create(&lanes[started].thread, NULL, lane_run, &lanes[started]) == 0) {
        started++;
    }
    if (started < count) {
        error_set(&err, ERROR_INTERNAL, "A thread for a restore could not be started");
        fail(restore, &err);
    }
    lane_run(&lanes[0]);
    for (unsigned i = 1; i < started; i++) {
        pthread_join(lanes[i].thread, NULL);
    }
}

unsigned restore_receive_connections(const Holdfast__RestoreRequest *request)
{
    uint64_t run = (uint64_t)RECEIVE_RUN_MAX * request->chunk_size;
    run = run < RECEIVE_RUN_BYTES_MAX ? run : RECEIVE_RUN_BYTES_MAX;
    /* a window, which the last message may pass, and what the workers unpack */
    uint64_t each = STREAM_WINDOW + run + RECEIVE_WORKERS_BESIDE * run;
    uint64_t count = RECEIVE_MEMORY / each;
    count = count < RESTORE_CONNECTIONS_MAX ? count : RESTORE_CONNECTIONS_MAX;
    count = count < request->connections ? count : request->connections;
    count = count < request->n_disks ? count : request->n_disks;
    return count < 1 ? 1 : (unsigned)count;
}

int restore_receive(const struct restore_receive_options *options, uint64_t *written, struct error *err)
{
    struct restore restore = {.options = options};
    struct restore_lane lanes[RESTORE_CONNECTIONS_MAX] = {0};
    unsigned count =
        options->connections < RESTORE_CONNECTIONS_MAX ? options->connections : RESTORE_CONNECTIONS_MAX;
    unsigned opened = 0;
    int result;
    pthread_mutex_init(&restore.lock, NULL);
    do {
        result = lane_open(&lanes[opened++], &restore, count <= 1, err);
    } while (opened < count && result == 0);
    if (result == 0) {
        run_lanes(&restore, lanes, opened);
    }
    if (restore.failed) {
        *err = restore.why;
        result = -1;
    }
    for (unsigned i = 0; i < opened; i++) {
        lane_close(&lanes[i]);
    }
    *written = restore.written;
    pthread_mutex_destroy(&restore.lock);
    return result;
}
