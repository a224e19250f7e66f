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
    RECEIVE_QUEUE = 8,
    RECEIVE_TIMEOUT_MS = 600000, /* the server may be told to be slow; that it is there, pings tell */
    RECEIVE_POLL_MS = 1000,
    RECEIVE_RUN_MAX = 16,
};

struct restore {
    const struct restore_receive_options *options;
    struct stream *stream;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    unsigned pending; /* runs with the workers */
    bool failed;
    struct error why;
    uint64_t places; /* of the disk in hand */
    uint64_t written;
};

struct run_work {
    struct restore *restore;
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

static void run_worker(void *cookie)
{
    struct run_work *work = cookie;
    struct restore *restore = work->restore;
    struct error err;
    pthread_mutex_lock(&restore->lock);
    bool skip = restore->failed;
    pthread_mutex_unlock(&restore->lock);
    int result = skip ? 0 : take_run(restore, work, &err);
    pthread_mutex_lock(&restore->lock);
    if (result != 0 && !restore->failed) {
        restore->failed = true;
        restore->why = err;
    }
    restore->places += work->run->n_indices;
    restore->written += work->run->n_indices * restore->options->request->chunk_size;
    restore->pending--;
    pthread_cond_broadcast(&restore->changed);
    pthread_mutex_unlock(&restore->lock);
    stream_release(restore->stream, work->message);
    holdfast__chunk_run__free_unpacked(work->run, NULL);
    free(work);
}

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

static void drain(struct restore *restore)
{
    pthread_mutex_lock(&restore->lock);
    while (restore->pending > 0) {
        pthread_cond_wait(&restore->changed, &restore->lock);
    }
    pthread_mutex_unlock(&restore->lock);
}

/* Short waits, so that a cancel is seen. */
static int receive(struct restore *restore, struct stream_message **message, struct error *err)
{
    for (unsigned waited = 0;; waited += RECEIVE_POLL_MS) {
        if (failure(restore, err) != 0) {
            return -1;
        }
        if (stream_receive(restore->stream, RECEIVE_POLL_MS, message, err) == 0) {
            return 0;
        }
        if (err->code != ERROR_PROTOCOL_TIMEOUT || waited >= RECEIVE_TIMEOUT_MS) {
            return -1;
        }
    }
}

static int hand_over(struct restore *restore, struct pool *pool, struct stream_message *message,
                     struct error *err)
{
    Holdfast__ChunkRun *run = holdfast__chunk_run__unpack(NULL, message->message_length, message->message);
    if (run == NULL) {
        stream_release(restore->stream, message);
        return error_set(err, ERROR_PROTOCOL_INVALID, "A run can't be read");
    }
    struct run_work *work = memory_alloc(sizeof *work);
    *work = (struct run_work){.restore = restore, .message = message, .run = run};
    pthread_mutex_lock(&restore->lock);
    restore->pending++;
    pthread_mutex_unlock(&restore->lock);
    pool_submit(pool, run_worker, work);
    return 0;
}

static int end_disk(struct restore *restore, const struct stream_message *message, uint32_t disk,
                    struct error *err)
{
    Holdfast__DiskEnd *end = holdfast__disk_end__unpack(NULL, message->message_length, message->message);
    drain(restore);
    int result = failure(restore, err);
    if (result == 0 && (end == NULL || end->disk != disk || end->chunks != restore->places)) {
        result = error_set(err, ERROR_PROTOCOL_INVALID, "Disk %s did not arrive whole",
                           restore->options->request->disks[disk]->name);
    }
    if (end != NULL) {
        holdfast__disk_end__free_unpacked(end, NULL);
    }
    return result;
}

static int receive_disk(struct restore *restore, struct pool *pool, uint32_t disk, struct error *err)
{
    Holdfast__RestoreRead read = HOLDFAST__RESTORE_READ__INIT;
    read.disk = disk;
    restore->places = 0;
    if (stream_send(restore->stream, HOLDFAST__DATA_TYPE__READ, &read.base, NULL, 0, err) != 0) {
        return -1;
    }
    for (;;) {
        struct stream_message *message;
        if (receive(restore, &message, err) != 0) {
            return -1;
        }
        if (message->type == HOLDFAST__DATA_TYPE__RUN) {
            if (hand_over(restore, pool, message, err) != 0) {
                return -1;
            }
            continue;
        }
        int result = message->type == HOLDFAST__DATA_TYPE__DISK_END
                         ? end_disk(restore, message, disk, err)
                         : error_set(err, ERROR_PROTOCOL_INVALID,
                                     "A message of type %u does not belong in a restore", message->type);
        stream_release(restore->stream, message);
        return result;
    }
}

int restore_receive(const struct restore_receive_options *options, uint64_t *written, struct error *err)
{
    struct restore restore = {.options = options};
    const Holdfast__RestoreRequest *request = options->request;
    *written = 0;
    struct pool *pool = pool_create("restore", RECEIVE_WORKERS, RECEIVE_QUEUE, err);
    if (pool == NULL) {
        return -1;
    }
    restore.stream = stream_connect(options->loop, options->target, options->tls, request->session.data,
                                    request->session.len, err);
    if (restore.stream == NULL) {
        pool_destroy(pool);
        return -1;
    }
    pthread_mutex_init(&restore.lock, NULL);
    pthread_cond_init(&restore.changed, NULL);
    int result = 0;
    for (uint32_t disk = 0; disk < request->n_disks && result == 0; disk++) {
        result = receive_disk(&restore, pool, disk, err);
    }
    drain(&restore);
    pool_destroy(pool);
    if (result == 0) {
        Holdfast__Empty empty = HOLDFAST__EMPTY__INIT;
        result = stream_send(restore.stream, HOLDFAST__DATA_TYPE__RESTORED, &empty.base, NULL, 0, err);
    } else {
        stream_send_failure(restore.stream, err);
    }
    stream_close(restore.stream);
    *written = restore.written;
    pthread_cond_destroy(&restore.changed);
    pthread_mutex_destroy(&restore.lock);
    return result;
}
