/* What an agent sends on a data connection of a backup, message by message. Nothing is believed. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/transfer/backup_receive_internal.h"

#include <stdlib.h>
#include <string.h>

enum { OFFER_ENTRY_SIZE = 40, NAME_SIZE = 32 };

static struct receive_disk *find_disk(struct backup_receive *receive, uint32_t disk, struct error *err)
{
    if (disk >= receive->disk_count) {
        error_set(err, ERROR_PROTOCOL_INVALID, "There is no disk %u in this job", disk);
        return NULL;
    }
    return &receive->disks[disk];
}

static int check_index(const struct receive_disk *disk, uint64_t index, struct error *err)
{
    if (index >= disk->chunk_count) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "Disk %s has %llu chunks, not %llu", disk->name,
                         (unsigned long long)disk->chunk_count, (unsigned long long)index + 1);
    }
    return 0;
}

static void settle(struct backup_receive *receive, uint64_t chunks)
{
    atomic_fetch_add(&receive->settled, chunks * store_chunk_size(receive->options.store));
}

/* An entry of an offer. */
struct offered {
    uint64_t index;
    uint64_t former; /* where the parent may have it */
    struct chunk_name name;
};

/* Has the map this chunk at this place? One that can't be read saves nothing: it is given up. */
static bool map_has(struct map_reader **partial, uint64_t index, const struct chunk_name *name)
{
    struct chunk_name old;
    struct error err;
    if (*partial == NULL) {
        return false;
    }
    if (map_reader_get(*partial, index, &old, &err) != 0) {
        log_error("a map that would save sending can't be used", &err);
        map_reader_destroy(*partial);
        *partial = NULL;
        return false;
    }
    return chunk_name_equal(&old, name);
}

/* Does this datasource have the chunk already? Only its own history at this place or at the one that it was
 * formerly at, an interrupted try's, what an operator seeded it with, and what this job sent count: an agent
 * must not learn what others stored. With map_lock held. 1 yes (and the map has it), 0 no. */
static int have_chunk(struct backup_receive *receive, struct receive_disk *disk,
                      const struct offered *offered, bool in_session, struct error *err)
{
    struct chunk_name old;
    const struct chunk_name *name = &offered->name;
    uint64_t index = offered->index;
    if (map_writer_get(disk->writer, index, &old, err) != 0) {
        return -1;
    }
    bool moved = offered->former != index && offered->former < disk->parent_chunks;
    bool same = chunk_name_equal(&old, name);
    bool known = same || in_session || (moved && map_has(&disk->parent, offered->former, name)) ||
                 map_has(&disk->partial, index, name) || map_has(&disk->seed, index, name);
    /* What is damaged is asked for again: that heals it. */
    if (!known || !chunk_exists(receive->options.store, name)) {
        return 0;
    }
    return !same && map_writer_set(disk->writer, index, name, err) != 0 ? -1 : 1;
}

static int answer_entry(struct receive_lane *lane, struct receive_disk *disk, const struct offered *offered,
                        bool *want, struct error *err)
{
    struct backup_receive *receive = lane->receive;
    if (check_index(disk, offered->index, err) != 0) {
        return -1;
    }
    if (chunk_name_is_zero(&offered->name)) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "The name of zeros was offered");
    }
    pthread_mutex_lock(&receive->lock);
    bool in_session = name_set_has(receive->session, &offered->name);
    pthread_mutex_unlock(&receive->lock);
    pthread_mutex_lock(&receive->map_lock);
    int have = have_chunk(receive, disk, offered, in_session, err);
    pthread_mutex_unlock(&receive->map_lock);
    *want = have == 0;
    return have < 0 ? -1 : 0;
}

/* An honest agent names every chunk once, perhaps again after a change; one that goes on for ever would hold
 * the job and what it uses. */
static int count_named(struct backup_receive *receive, uint64_t chunks, struct error *err)
{
    uint64_t named = atomic_fetch_add(&receive->named, chunks) + chunks;
    return named <= receive->named_max
               ? 0
               : error_set(err, ERROR_PROTOCOL_INVALID,
                           "The agent names more chunks than the disks of %s have", receive->point->vm_name);
}

static int take_offer(struct receive_lane *lane, const struct stream_message *message,
                      const Holdfast__BackupOffer *offer, struct error *err)
{
    size_t count = message->payload_length / OFFER_ENTRY_SIZE;
    struct receive_disk *disk = find_disk(lane->receive, offer->disk, err);
    uint8_t bits[RECEIVE_OFFER_MAX / 8] = {0};
    if (disk == NULL) {
        return -1;
    }
    if (message->payload_length % OFFER_ENTRY_SIZE != 0 || count == 0 || count > RECEIVE_OFFER_MAX) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "An offer of %zu bytes is not allowed",
                         message->payload_length);
    }
    if (offer->n_former != 0 && offer->n_former != count) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "%zu former places of %zu chunks are not allowed",
                         offer->n_former, count);
    }
    if (count_named(lane->receive, count, err) != 0) {
        return -1;
    }
    uint64_t had = 0;
    for (size_t i = 0; i < count; i++) {
        bool want = false;
        const uint8_t *entry = message->payload + i * OFFER_ENTRY_SIZE;
        struct offered offered = {.index = bytes_get_u64(entry)};
        offered.former = offer->n_former > 0 ? offer->former[i] : offered.index;
        memcpy(offered.name.bytes, entry + 8, NAME_SIZE);
        if (answer_entry(lane, disk, &offered, &want, err) != 0) {
            return -1;
        }
        if (want) {
            bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
            lane->wanted++;
        } else {
            had++;
        }
    }
    settle(lane->receive, had);
    Holdfast__BackupWant want = HOLDFAST__BACKUP_WANT__INIT;
    want.sequence = offer->sequence;
    return stream_send(lane->stream, HOLDFAST__DATA_TYPE__WANT, &want.base, bits, (count + 7) / 8, err);
}

static int place_run(struct backup_receive *receive, struct receive_disk *disk, const Holdfast__ChunkRun *run,
                     const struct chunk_name *names, struct error *err)
{
    int result = 0;
    pthread_mutex_lock(&receive->map_lock);
    for (size_t i = 0; i < run->n_indices && result == 0; i++) {
        result = map_writer_set(disk->writer, run->indices[i], &names[i], err);
    }
    disk->transferred += run->n_indices * store_chunk_size(receive->options.store);
    pthread_mutex_unlock(&receive->map_lock);
    return result;
}

static void count_run(struct backup_receive *receive, const struct chunk_name *names, size_t count,
                      size_t wire, uint64_t stored)
{
    bool due;
    pthread_mutex_lock(&receive->lock);
    for (size_t i = 0; i < count; i++) {
        name_set_add(receive->session, &names[i]);
    }
    receive->wire_bytes += wire;
    receive->stored_bytes += stored;
    receive->since_partial += wire;
    due = receive->since_partial >= RECEIVE_PARTIAL_BYTES &&
          clock_monotonic_ms() - receive->partial_ms >= RECEIVE_PARTIAL_MS;
    if (due) {
        receive->since_partial = 0;
        receive->partial_ms = clock_monotonic_ms();
    }
    pthread_mutex_unlock(&receive->lock);
    if (due) {
        receive_save_partials(receive);
    }
}

static int take_run(struct receive_lane *lane, const struct stream_message *message,
                    const Holdfast__ChunkRun *run, struct error *err)
{
    struct chunk_name names[STORE_RUN_MAX];
    struct chunk_put_result put;
    struct receive_disk *disk = find_disk(lane->receive, run->disk, err);
    if (disk == NULL) {
        return -1;
    }
    if (run->n_indices < 1 || run->n_indices > STORE_RUN_MAX ||
        run->names.len != run->n_indices * NAME_SIZE || run->n_positions != 0) {
        return error_set(err, ERROR_PROTOCOL_INVALID,
                         "A run of %zu chunks with %zu bytes of names is not allowed", run->n_indices,
                         run->names.len);
    }
    for (size_t i = 0; i < run->n_indices; i++) {
        if (check_index(disk, run->indices[i], err) != 0) {
            return -1;
        }
        memcpy(names[i].bytes, run->names.data + i * NAME_SIZE, NAME_SIZE);
    }
    lane->arrived += run->n_indices;
    if (lane->arrived > lane->wanted) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "More chunks came than were asked for");
    }
    const struct chunk_run stored = {.names = names,
                                     .count = run->n_indices,
                                     .compression = (enum compression)run->compression,
                                     .payload = message->payload,
                                     .length = message->payload_length};
    if (chunk_put_run(lane->receive->options.store, &stored, &put, err) != 0 ||
        place_run(lane->receive, disk, run, names, err) != 0) {
        return -1;
    }
    settle(lane->receive, run->n_indices);
    count_run(lane->receive, names, run->n_indices, message->payload_length + message->message_length,
              put.stored_bytes);
    return 0;
}

static int take_zeros(struct receive_lane *lane, const Holdfast__ZeroRange *range, struct error *err)
{
    struct receive_disk *disk = find_disk(lane->receive, range->disk, err);
    if (disk == NULL) {
        return -1;
    }
    if (range->count == 0 || range->count > disk->chunk_count ||
        range->first > disk->chunk_count - range->count) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "Zeros past the end of disk %s", disk->name);
    }
    if (count_named(lane->receive, 1, err) != 0) {
        return -1;
    }
    pthread_mutex_lock(&lane->receive->map_lock);
    int result = map_writer_set_zeros(disk->writer, range->first, range->count, err);
    pthread_mutex_unlock(&lane->receive->map_lock);
    return result;
}

static int take_finish(struct receive_lane *lane, const Holdfast__BackupFinish *finish, struct error *err)
{
    struct backup_receive *receive = lane->receive;
    if (lane->wanted != lane->arrived) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "%llu chunks were asked for and did not come",
                         (unsigned long long)(lane->wanted - lane->arrived));
    }
    if (finish->connections < 1 || finish->connections > receive->options.connections) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "A job of %u connections is not allowed",
                         finish->connections);
    }
    pthread_mutex_lock(&receive->lock);
    receive->read_bytes += finish->read_bytes;
    /* One that is not told would go on with the maps while they are committed. */
    bool agree = (receive->lanes_announced == 0 || receive->lanes_announced == finish->connections) &&
                 receive->lane_count <= finish->connections;
    receive->lanes_announced = finish->connections;
    pthread_mutex_unlock(&receive->lock);
    return agree ? 1 : error_set(err, ERROR_PROTOCOL_INVALID, "The connections of the job do not agree");
}

/* 0 to go on, 1 at the end, -1 on error. */
#define UNPACK_AND(type, call)                                                                               \
    do {                                                                                                     \
        Holdfast__##type *in = (Holdfast__##type *)(void *)unpacked;                                         \
        result = call;                                                                                       \
    } while (0)

static const ProtobufCMessageDescriptor *descriptor_of(uint16_t type)
{
    switch (type) {
    case HOLDFAST__DATA_TYPE__OFFER:
        return &holdfast__backup_offer__descriptor;
    case HOLDFAST__DATA_TYPE__RUN:
        return &holdfast__chunk_run__descriptor;
    case HOLDFAST__DATA_TYPE__ZEROS:
        return &holdfast__zero_range__descriptor;
    case HOLDFAST__DATA_TYPE__FINISH:
        return &holdfast__backup_finish__descriptor;
    default:
        return NULL;
    }
}

static int take_message(struct receive_lane *lane, const struct stream_message *message, struct error *err)
{
    int result = -1;
    const ProtobufCMessageDescriptor *descriptor = descriptor_of(message->type);
    ProtobufCMessage *unpacked =
        descriptor != NULL
            ? protobuf_c_message_unpack(descriptor, NULL, message->message_length, message->message)
            : NULL;
    if (unpacked == NULL) {
        return error_set(err, ERROR_PROTOCOL_INVALID,
                         "A message of type %u does not belong here or can't be read", message->type);
    }
    switch (message->type) {
    case HOLDFAST__DATA_TYPE__OFFER:
        UNPACK_AND(BackupOffer, take_offer(lane, message, in, err));
        break;
    case HOLDFAST__DATA_TYPE__RUN:
        UNPACK_AND(ChunkRun, take_run(lane, message, in, err));
        break;
    case HOLDFAST__DATA_TYPE__ZEROS:
        UNPACK_AND(ZeroRange, take_zeros(lane, in, err));
        break;
    default:
        UNPACK_AND(BackupFinish, take_finish(lane, in, err));
        break;
    }
    protobuf_c_message_free_unpacked(unpacked, NULL);
    return result;
}

int receive_messages(struct receive_lane *lane, struct error *err)
{
    int result = 0;
    while (result == 0) {
        struct stream_message *message;
        if (stream_receive(lane->stream, lane->receive->options.idle_timeout_ms, &message, err) != 0) {
            if (err->code == ERROR_PROTOCOL_TIMEOUT) {
                error_wrap(err, ERROR_TRANSFER_TIMEOUT, "No data of %s arrived for %u s",
                           lane->receive->point->vm_name, lane->receive->options.idle_timeout_ms / 1000);
            }
            return -1;
        }
        throttle_spend(lane->receive->options.throttle, message->payload_length);
        result = take_message(lane, message, err);
        stream_release(lane->stream, message);
    }
    return result < 0 ? -1 : 0;
}
