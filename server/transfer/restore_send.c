#include "server/transfer/restore_send.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct restore_send {
    struct restore_send_options options;
    size_t *disks;
    atomic_uint_least64_t done_bytes;
    atomic_uint_least64_t wire_bytes;
    uint64_t total_bytes;
    pthread_mutex_t lock;                     /* guards what follows */
    struct stream *streams[RESTORE_SEND_MAX]; /* that are served; NULL: none */
    bool aborted;
    struct error why;
};

/* Bytes of a disk that are not zeros: what will travel. */
static int count_bytes(struct store *store, const struct point_disk *disk, uint64_t *bytes, struct error *err)
{
    enum { PORTION = 8192 };
    struct map_reader *reader = map_reader_open(store, &disk->root, disk->size, err);
    if (reader == NULL) {
        return -1;
    }
    struct map_entry *entries = memory_array(PORTION, sizeof *entries);
    uint64_t next = 0;
    size_t count = 0;
    int result;
    do {
        result = map_reader_list(reader, &next, entries, PORTION, &count, err);
        *bytes += count * store_chunk_size(store);
    } while (result == 0 && count > 0);
    free(entries);
    map_reader_destroy(reader);
    return result;
}

struct restore_send *restore_send_create(const struct restore_send_options *options, struct error *err)
{
    struct restore_send *send = memory_zalloc(sizeof *send);
    send->options = *options;
    send->disks = memory_copy(options->disks, options->disk_count * sizeof *options->disks);
    pthread_mutex_init(&send->lock, NULL);
    for (size_t i = 0; i < options->disk_count; i++) {
        if (count_bytes(options->store, &options->point->disks[send->disks[i]], &send->total_bytes, err) !=
            0) {
            error_wrap(err, ERROR_CHUNK_DAMAGED, "Recovery point %s of %s can't be restored whole",
                       options->point->id, options->point->vm_name);
            restore_send_destroy(send);
            return NULL;
        }
    }
    return send;
}

struct send_disk {
    struct restore_send *send;
    struct stream *stream;
    uint32_t disk;
    uint64_t places;
};

static int send_run(void *cookie, const struct restore_run *run, struct error *err)
{
    struct send_disk *disk = cookie;
    Holdfast__ChunkRun message = HOLDFAST__CHUNK_RUN__INIT;
    message.disk = disk->disk;
    message.n_indices = run->place_count;
    message.indices = (uint64_t *)(uintptr_t)run->indices;
    message.n_positions = run->place_count;
    message.positions = (uint32_t *)(uintptr_t)run->positions;
    message.names = (ProtobufCBinaryData){.len = run->count * sizeof *run->names,
                                          .data = (uint8_t *)(uintptr_t)run->names};
    message.compression = run->compression;
    disk->places += run->place_count;
    throttle_spend(disk->send->options.throttle, run->length);
    if (stream_send(disk->stream, HOLDFAST__DATA_TYPE__RUN, &message.base, run->payload, run->length, err) !=
        0) {
        return -1;
    }
    atomic_fetch_add(&disk->send->done_bytes, run->place_count * store_chunk_size(disk->send->options.store));
    atomic_fetch_add(&disk->send->wire_bytes, run->length);
    return 0;
}

static int send_disk(struct restore_send *send, struct stream *stream, const Holdfast__RestoreRead *read,
                     struct error *err)
{
    const struct point *point = send->options.point;
    if (read->disk >= send->options.disk_count) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "There is no disk %u in this restore", read->disk);
    }
    struct send_disk disk = {.send = send, .stream = stream, .disk = read->disk};
    const struct point_disk *from = &point->disks[send->disks[read->disk]];
    if (restore_plan_disk(send->options.store, from, send_run, &disk, err) != 0) {
        if (err->code == ERROR_CHUNK_DAMAGED) {
            error_wrap(err, ERROR_CHUNK_DAMAGED, "Disk %s of recovery point %s of %s is damaged in the store",
                       from->name, point->id, point->vm_name);
        }
        return -1;
    }
    Holdfast__DiskEnd end = HOLDFAST__DISK_END__INIT;
    end.disk = read->disk;
    end.chunks = disk.places;
    return stream_send(stream, HOLDFAST__DATA_TYPE__DISK_END, &end.base, NULL, 0, err);
}

/* 1 at the end. */
static int take_message(struct restore_send *send, struct stream *stream,
                        const struct stream_message *message, struct error *err)
{
    if (message->type == HOLDFAST__DATA_TYPE__RESTORED) {
        return 1;
    }
    Holdfast__RestoreRead *read =
        message->type == HOLDFAST__DATA_TYPE__READ
            ? holdfast__restore_read__unpack(NULL, message->message_length, message->message)
            : NULL;
    if (read == NULL) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "A message of type %u does not belong in a restore",
                         message->type);
    }
    int result = send_disk(send, stream, read, err);
    holdfast__restore_read__free_unpacked(read, NULL);
    return result;
}

static int serve(struct restore_send *send, struct stream *stream, struct error *err)
{
    int result = 0;
    while (result == 0) {
        struct stream_message *message;
        if (stream_receive(stream, send->options.idle_timeout_ms, &message, err) != 0) {
            return -1;
        }
        result = take_message(send, stream, message, err);
        stream_release(stream, message);
    }
    return result < 0 ? -1 : 0;
}

/* A place among those that are served; NULL when it is refused. */
static struct stream **take_place(struct restore_send *send, struct stream *stream, struct error *err)
{
    struct stream **place = NULL;
    pthread_mutex_lock(&send->lock);
    if (send->aborted) {
        *err = send->why;
    } else {
        error_set(err, ERROR_PROTOCOL_INVALID, "A restore has at most %u data connections",
                  send->options.connections);
        for (unsigned i = 0; i < send->options.connections && place == NULL; i++) {
            place = send->streams[i] == NULL ? &send->streams[i] : NULL;
        }
    }
    if (place != NULL) {
        *place = stream;
    }
    pthread_mutex_unlock(&send->lock);
    return place;
}

int restore_send_serve(struct restore_send *send, struct stream *stream, struct error *err)
{
    struct stream **place = take_place(send, stream, err);
    int result = place == NULL ? -1 : serve(send, stream, err);
    if (result != 0) {
        stream_send_failure(stream, err);
    }
    if (place != NULL) {
        pthread_mutex_lock(&send->lock);
        *place = NULL;
        pthread_mutex_unlock(&send->lock);
    }
    stream_close(stream);
    return result;
}

void restore_send_abort(struct restore_send *send, const struct error *why)
{
    pthread_mutex_lock(&send->lock);
    send->aborted = true;
    send->why = *why;
    throttle_stop(send->options.throttle);
    for (unsigned i = 0; i < RESTORE_SEND_MAX; i++) {
        if (send->streams[i] != NULL) {
            stream_abort(send->streams[i], why);
        }
    }
    pthread_mutex_unlock(&send->lock);
}

void restore_send_progress(struct restore_send *send, struct transfer_progress *progress)
{
    *progress = (struct transfer_progress){.done_bytes = atomic_load(&send->done_bytes),
                                           .total_bytes = send->total_bytes,
                                           .wire_bytes = atomic_load(&send->wire_bytes)};
}

void restore_send_destroy(struct restore_send *send)
{
    if (send != NULL) {
        pthread_mutex_destroy(&send->lock);
        throttle_close(send->options.throttle);
        free(send->disks);
        free(send);
    }
}
