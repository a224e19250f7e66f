#include "agent/backup_send.h"

#include "agent/backup_planner.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/compress.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEND_LANES_MAX = 4,
    SEND_BATCH_CHUNKS = 64, /* offered together */
    SEND_BATCHES = 4,       /* a lane's batches in flight: offered, not yet answered */
    SEND_RUN_CHUNKS = 16,
    SEND_RUN_BYTES = 1024 * 1024,
    SEND_ENTRY_SIZE = 8 + DIGEST_SIZE,
    SEND_LEVEL = 1,
    SEND_CHECK_MS = 500,
    CAUSE_WAIT_MS = 3000,
    CAUSE_STEP_MS = 100,
    SEND_ANSWER_MS = 600000, /* the server may be told to be slow; that it is there, pings tell */
    SEND_COMMIT_MS = 900000,
};

/* Chunks that are offered together. Their data waits in memory until the server has answered. */
struct batch {
    uint32_t sequence;
    size_t disk;
    size_t count;
    uint64_t indices[SEND_BATCH_CHUNKS];
    uint8_t names[SEND_BATCH_CHUNKS][DIGEST_SIZE];
    uint8_t *data;
};

struct transfer;

struct lane {
    struct transfer *transfer;
    struct stream *stream;
    struct disk_reader **readers; /* by disk; opened when first needed */
    struct batch batches[SEND_BATCHES];
    uint32_t offered;             /* batches */
    uint32_t answered;            /* a batch's place is its number modulo SEND_BATCHES */
    bool planned_out;             /* the planner has no more */
    struct backup_plan_item rest; /* read ahead of a batch for another disk */
    bool has_rest;
    uint8_t *packed;
    uint8_t *gathered;
    uint64_t read_bytes;
    int64_t checked_ms;
    int result;
    struct error err;
    pthread_t thread;
};

struct transfer {
    const struct backup_send_options *options;
    struct backup_planner *planner;
    struct backup_planner_disk *disks;
    struct lane *lanes;
    unsigned lane_count;
    pthread_mutex_t lock; /* guards what follows */
    bool failed;
    struct error why;
    bool committed;
};

/* The first failure counts; every lane is woken. */
static void transfer_fail(struct transfer *transfer, const struct error *err)
{
    pthread_mutex_lock(&transfer->lock);
    if (!transfer->failed) {
        transfer->failed = true;
        transfer->why = *err;
    }
    pthread_mutex_unlock(&transfer->lock);
    for (unsigned i = 0; i < transfer->lane_count; i++) {
        if (transfer->lanes[i].stream != NULL) {
            stream_send_failure(transfer->lanes[i].stream, err);
            stream_abort(transfer->lanes[i].stream, err);
        }
    }
}

/* What failed may only be the consequence: a VM that stopped can't be read any more. The host may need a
 * moment to notice. */
static void find_cause(const struct backup_send_options *options, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + (err->code == ERROR_DISK_READ_FAILED ? CAUSE_WAIT_MS : 0);
    struct error given_up;
    while (options->provider->backup_check != NULL) {
        if (options->provider->backup_check(options->backup, &given_up) != 0) {
            *err = given_up;
            return;
        }
        if (clock_monotonic_ms() >= deadline || atomic_load(options->cancelled)) {
            return;
        }
        poll(NULL, 0, CAUSE_STEP_MS);
    }
}

static int check(struct lane *lane, struct error *err)
{
    const struct backup_send_options *options = lane->transfer->options;
    if (atomic_load(options->cancelled)) {
        return error_set(err, ERROR_JOB_CANCELLED, "The job was cancelled");
    }
    int64_t now = clock_monotonic_ms();
    if (now - lane->checked_ms < SEND_CHECK_MS) {
        return 0;
    }
    lane->checked_ms = now;
    return options->provider->backup_check != NULL ? options->provider->backup_check(options->backup, err)
                                                   : 0;
}

static int send_zeros(struct lane *lane, size_t disk, uint64_t first, uint64_t count, struct error *err)
{
    Holdfast__ZeroRange range = HOLDFAST__ZERO_RANGE__INIT;
    range.disk = (uint32_t)disk;
    range.first = first;
    range.count = count;
    return stream_send(lane->stream, HOLDFAST__DATA_TYPE__ZEROS, &range.base, NULL, 0, err);
}

/* --- filling a batch
 * ---------------------------------------------------------------------------------------- */

/* Read the item's chunks behind those of the batch; the last chunk of a disk is padded with zeros. */
static int read_item(struct lane *lane, const struct backup_plan_item *item, uint8_t *out, struct error *err)
{
    const struct backup_send_options *options = lane->transfer->options;
    struct disk_reader **reader = &lane->readers[item->disk];
    if (*reader == NULL) {
        *reader = options->provider->backup_open_disk(options->backup, item->disk, err);
        if (*reader == NULL) {
            return -1;
        }
    }
    uint64_t size = options->begun->disks[item->disk]->size;
    uint64_t offset = item->first * options->chunk_size;
    size_t wanted = (size_t)(item->count * options->chunk_size);
    size_t length = size - offset < wanted ? (size_t)(size - offset) : wanted;
    memset(out + length, 0, wanted - length);
    lane->read_bytes += length;
    return disk_reader_read(*reader, offset, out, length, err);
}

/* Name what was read; zeros leave the batch again and are told as ranges. */
static int name_item(struct lane *lane, struct batch *batch, const struct backup_plan_item *item,
                     struct error *err)
{
    uint32_t chunk_size = lane->transfer->options->chunk_size;
    uint8_t *from = batch->data + batch->count * chunk_size;
    uint64_t zeros = 0;
    int result = 0;
    for (uint64_t i = 0; i < item->count && result == 0; i++, from += chunk_size) {
        if (bytes_are_zero(from, chunk_size)) {
            zeros++;
            continue;
        }
        if (zeros > 0) {
            result = send_zeros(lane, item->disk, item->first + i - zeros, zeros, err);
            zeros = 0;
        }
        uint8_t *place = batch->data + batch->count * chunk_size;
        if (place != from) {
            memmove(place, from, chunk_size);
        }
        batch->indices[batch->count] = item->first + i;
        digest_sha256(place, chunk_size, batch->names[batch->count]);
        batch->count++;
    }
    if (zeros > 0 && result == 0) {
        result = send_zeros(lane, item->disk, item->first + item->count - zeros, zeros, err);
    }
    return result;
}

static int next_item(struct lane *lane, uint64_t room, struct backup_plan_item *item, struct error *err)
{
    if (lane->has_rest && (lane->rest.zeros || lane->rest.count <= room)) {
        *item = lane->rest;
        lane->has_rest = false;
        return 1;
    }
    return lane->has_rest ? 0 : backup_planner_next(lane->transfer->planner, room, item, err);
}

/* 4 MiB at the default chunk size, 16 MiB at most. */
static size_t batch_capacity(uint32_t chunk_size)
{
    size_t chunks = 16u * SEND_RUN_BYTES / chunk_size;
    return chunks < 1 ? 1 : chunks > SEND_BATCH_CHUNKS ? SEND_BATCH_CHUNKS : chunks;
}

/* Chunks of one disk until the batch is full or the plan is at its end. */
static int fill_batch(struct lane *lane, struct batch *batch, struct error *err)
{
    size_t capacity = batch_capacity(lane->transfer->options->chunk_size);
    batch->count = 0;
    while (batch->count < capacity) {
        struct backup_plan_item item;
        int more = next_item(lane, capacity - batch->count, &item, err);
        if (more < 0 || check(lane, err) != 0) {
            return -1;
        }
        if (more == 0) {
            lane->planned_out = !lane->has_rest;
            return 0;
        }
        if (item.zeros) {
            if (send_zeros(lane, item.disk, item.first, item.count, err) != 0) {
                return -1;
            }
            continue;
        }
        if (batch->count > 0 && item.disk != batch->disk) {
            lane->rest = item;
            lane->has_rest = true;
            return 0;
        }
        batch->disk = item.disk;
        if (read_item(lane, &item, batch->data + batch->count * lane->transfer->options->chunk_size, err) !=
                0 ||
            name_item(lane, batch, &item, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Where the parent may have the batch's chunks; how many: none when they are all where they were. */
static size_t find_former(const struct lane *lane, const struct batch *batch,
                          uint64_t former[SEND_BATCH_CHUNKS])
{
    const struct backup_send_options *options = lane->transfer->options;
    bool moved = false;
    if (options->provider->backup_former == NULL) {
        return 0;
    }
    for (size_t i = 0; i < batch->count; i++) {
        uint64_t at = options->provider->backup_former(options->backup, batch->disk,
                                                       batch->indices[i] * options->chunk_size);
        bool known = at != UINT64_MAX && at % options->chunk_size == 0;
        former[i] = known ? at / options->chunk_size : batch->indices[i];
        moved = moved || former[i] != batch->indices[i];
    }
    return moved ? batch->count : 0;
}

static int offer_batch(struct lane *lane, struct batch *batch, struct error *err)
{
    uint8_t entries[SEND_BATCH_CHUNKS * SEND_ENTRY_SIZE];
    uint64_t former[SEND_BATCH_CHUNKS];
    Holdfast__BackupOffer offer = HOLDFAST__BACKUP_OFFER__INIT;
    for (size_t i = 0; i < batch->count; i++) {
        bytes_put_u64(entries + i * SEND_ENTRY_SIZE, batch->indices[i]);
        memcpy(entries + i * SEND_ENTRY_SIZE + 8, batch->names[i], DIGEST_SIZE);
    }
    offer.disk = (uint32_t)batch->disk;
    offer.sequence = batch->sequence;
    offer.n_former = find_former(lane, batch, former);
    offer.former = former;
    return stream_send(lane->stream, HOLDFAST__DATA_TYPE__OFFER, &offer.base, entries,
                       batch->count * SEND_ENTRY_SIZE, err);
}

/* --- sending what is wanted
 * --------------------------------------------------------------------------------- */

static int send_run(struct lane *lane, const struct batch *batch, const size_t *wanted, size_t count,
                    struct error *err)
{
    uint32_t chunk_size = lane->transfer->options->chunk_size;
    uint8_t names[SEND_RUN_CHUNKS * DIGEST_SIZE];
    uint64_t indices[SEND_RUN_CHUNKS];
    const uint8_t *plain = batch->data + wanted[0] * chunk_size;
    bool contiguous = wanted[count - 1] - wanted[0] == count - 1;
    size_t length;
    for (size_t i = 0; i < count; i++) {
        memcpy(names + i * DIGEST_SIZE, batch->names[wanted[i]], DIGEST_SIZE);
        indices[i] = batch->indices[wanted[i]];
        if (!contiguous) {
            memcpy(lane->gathered + i * chunk_size, batch->data + wanted[i] * chunk_size, chunk_size);
        }
    }
    Holdfast__ChunkRun run = HOLDFAST__CHUNK_RUN__INIT;
    run.compression = compress_run(contiguous ? plain : lane->gathered, count * chunk_size, SEND_LEVEL,
                                   lane->packed, &length);
    run.disk = (uint32_t)batch->disk;
    run.n_indices = count;
    run.indices = indices;
    run.names = (ProtobufCBinaryData){.len = count * DIGEST_SIZE, .data = names};
    return stream_send(lane->stream, HOLDFAST__DATA_TYPE__RUN, &run.base, lane->packed, length, err);
}

static size_t run_capacity(uint32_t chunk_size)
{
    size_t chunks = SEND_RUN_BYTES / chunk_size;
    return chunks < 1 ? 1 : chunks > SEND_RUN_CHUNKS ? SEND_RUN_CHUNKS : chunks;
}

static int send_wanted(struct lane *lane, const struct batch *batch, const uint8_t *bits, struct error *err)
{
    size_t capacity = run_capacity(lane->transfer->options->chunk_size);
    size_t wanted[SEND_RUN_CHUNKS];
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        if (!(bits[i / 8] >> (i % 8) & 1)) {
            continue;
        }
        wanted[count++] = i;
        if (count == capacity) {
            if (check(lane, err) != 0 || send_run(lane, batch, wanted, count, err) != 0) {
                return -1;
            }
            count = 0;
        }
    }
    return count > 0 ? send_run(lane, batch, wanted, count, err) : 0;
}

/* Wait for the answer to the oldest batch and send what it asks for. */
static int settle_batch(struct lane *lane, struct error *err)
{
    struct batch *batch = &lane->batches[lane->answered % SEND_BATCHES];
    struct stream_message *message;
    if (stream_receive(lane->stream, SEND_ANSWER_MS, &message, err) != 0) {
        return -1;
    }
    Holdfast__BackupWant *want =
        message->type == HOLDFAST__DATA_TYPE__WANT
            ? holdfast__backup_want__unpack(NULL, message->message_length, message->message)
            : NULL;
    int result = -1;
    if (want == NULL || want->sequence != batch->sequence ||
        message->payload_length != (batch->count + 7) / 8) {
        error_set(err, ERROR_PROTOCOL_INVALID, "The server's answer to an offer can't be read");
    } else {
        result = send_wanted(lane, batch, message->payload, err);
    }
    if (want != NULL) {
        holdfast__backup_want__free_unpacked(want, NULL);
    }
    stream_release(lane->stream, message);
    lane->answered++;
    return result;
}

static int finish(struct lane *lane, struct error *err)
{
    struct transfer *transfer = lane->transfer;
    struct stream_message *message;
    Holdfast__BackupFinish end = HOLDFAST__BACKUP_FINISH__INIT;
    end.read_bytes = lane->read_bytes;
    end.connections = transfer->lane_count;
    if (stream_send(lane->stream, HOLDFAST__DATA_TYPE__FINISH, &end.base, NULL, 0, err) != 0 ||
        stream_receive(lane->stream, SEND_COMMIT_MS, &message, err) != 0) {
        return -1;
    }
    bool committed = message->type == HOLDFAST__DATA_TYPE__COMMITTED;
    stream_release(lane->stream, message);
    if (!committed) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "The server did not answer the end of the transfer");
    }
    pthread_mutex_lock(&transfer->lock);
    transfer->committed = true;
    pthread_mutex_unlock(&transfer->lock);
    return 0;
}

static int run_lane(struct lane *lane, struct error *err)
{
    while (!lane->planned_out) {
        struct batch *batch = &lane->batches[lane->offered % SEND_BATCHES];
        if (lane->offered - lane->answered == SEND_BATCHES && settle_batch(lane, err) != 0) {
            return -1;
        }
        batch->sequence = lane->offered;
        if (fill_batch(lane, batch, err) != 0) {
            return -1;
        }
        if (batch->count > 0) {
            if (offer_batch(lane, batch, err) != 0) {
                return -1;
            }
            lane->offered++;
        }
    }
    while (lane->answered < lane->offered) {
        if (settle_batch(lane, err) != 0) {
            return -1;
        }
    }
    lane->checked_ms = 0; /* now that everything has been read, look in any case */
    return check(lane, err) != 0 ? -1 : finish(lane, err);
}

static void *lane_thread(void *cookie)
{
    struct lane *lane = cookie;
    lane->result = run_lane(lane, &lane->err);
    if (lane->result != 0) {
        find_cause(lane->transfer->options, &lane->err);
        transfer_fail(lane->transfer, &lane->err);
    }
    return NULL;
}

/* --- the whole
 * ---------------------------------------------------------------------------------------------- */

static int open_lane(struct transfer *transfer, struct lane *lane, struct error *err)
{
    const struct backup_send_options *options = transfer->options;
    size_t run_bytes = run_capacity(options->chunk_size) * options->chunk_size;
    lane->transfer = transfer;
    lane->readers = memory_array(options->begun->n_disks, sizeof(struct disk_reader *));
    lane->packed = memory_alloc(compress_bound(run_bytes));
    lane->gathered = memory_alloc(run_bytes);
    for (size_t i = 0; i < SEND_BATCHES; i++) {
        lane->batches[i].data =
            memory_alloc_aligned(4096, batch_capacity(options->chunk_size) * options->chunk_size);
    }
    lane->stream = stream_connect(options->loop, options->target, options->tls, options->session,
                                  options->session_length, err);
    return lane->stream != NULL ? 0 : -1;
}

static void close_lane(const struct transfer *transfer, struct lane *lane)
{
    stream_close(lane->stream);
    for (size_t i = 0; lane->readers != NULL && i < transfer->options->begun->n_disks; i++) {
        disk_reader_close(lane->readers[i]);
    }
    for (size_t i = 0; i < SEND_BATCHES; i++) {
        free(lane->batches[i].data);
    }
    free(lane->readers);
    free(lane->packed);
    free(lane->gathered);
}

static int open_planner(struct transfer *transfer, struct error *err)
{
    const struct backup_send_options *options = transfer->options;
    size_t count = options->begun->n_disks;
    transfer->disks = memory_array(count, sizeof *transfer->disks);
    for (size_t i = 0; i < count; i++) {
        const Holdfast__BackupDisk *disk = options->begun->disks[i];
        transfer->disks[i] = (struct backup_planner_disk){
            .reader = options->provider->backup_open_disk(options->backup, i, err),
            .name = disk->name,
            .size = disk->size};
        transfer->disks[i].left_out = backup_pages_get(options->pages, i, &transfer->disks[i].left_out_count);
        transfer->disks[i].missing =
            backup_pages_get(options->base_pages, i, &transfer->disks[i].missing_count);
        if (transfer->disks[i].reader == NULL) {
            return -1;
        }
        uint64_t now = disk_reader_size(transfer->disks[i].reader);
        if (now != disk->size) {
            return error_set(err, ERROR_DISK_CHANGED, "Disk %s had %llu bytes and has %llu now", disk->name,
                             (unsigned long long)disk->size, (unsigned long long)now);
        }
    }
    transfer->planner = backup_planner_create(transfer->disks, count, options->chunk_size);
    return 0;
}

static void run_lanes(struct transfer *transfer)
{
    unsigned started = 1;
    while (started < transfer->lane_count && pthread_create(&transfer->lanes[started].thread, NULL,
                                                            lane_thread, &transfer->lanes[started]) == 0) {
        started++;
    }
    if (started < transfer->lane_count) {
        struct error err;
        error_set(&err, ERROR_LIMIT_EXCEEDED, "A thread could not be started");
        transfer_fail(transfer, &err);
    }
    lane_thread(&transfer->lanes[0]);
    for (unsigned i = 1; i < started; i++) {
        pthread_join(transfer->lanes[i].thread, NULL);
    }
}

static void note_left_out(const struct transfer *transfer, struct backup_send_result *result)
{
    const struct backup_send_options *options = transfer->options;
    size_t sleeper;
    result->notes = memory_array(options->begun->n_disks + 1, sizeof *result->notes);
    if (backup_pages_asleep(options->pages, &sleeper)) {
        result->notes[result->note_count++] = memory_format(
            "Page and swap files are stored: a system sleeps on %s", transfer->disks[sleeper].name);
    }
    for (size_t i = 0; i < options->begun->n_disks; i++) {
        uint64_t swap = 0;
        uint64_t page_files = 0;
        backup_planner_left_out(&transfer->disks[i], options->chunk_size, &swap, &page_files);
        char *note = backup_pages_note(transfer->disks[i].name, swap, page_files);
        if (note != NULL) {
            result->notes[result->note_count++] = note;
        }
    }
}

int backup_send(const struct backup_send_options *options, struct backup_send_result *result,
                struct error *err)
{
    struct transfer transfer = {.options = options};
    unsigned lanes = options->connections < 1 ? 1 : options->connections;
    lanes = lanes > SEND_LANES_MAX ? SEND_LANES_MAX : lanes;
    *result = (struct backup_send_result){0};
    pthread_mutex_init(&transfer.lock, NULL);
    transfer.lanes = memory_array(lanes, sizeof *transfer.lanes);
    int opened = open_planner(&transfer, err);
    for (unsigned i = 0; i < lanes && opened == 0; i++) {
        opened = open_lane(&transfer, &transfer.lanes[i], err);
        transfer.lane_count++;
    }
    if (opened == 0) {
        note_left_out(&transfer, result);
        run_lanes(&transfer);
    } else {
        find_cause(options, err);
        transfer_fail(&transfer, err);
    }
    for (unsigned i = 0; i < transfer.lane_count; i++) {
        result->read_bytes += transfer.lanes[i].read_bytes;
        result->sent_bytes +=
            transfer.lanes[i].stream != NULL ? stream_sent_bytes(transfer.lanes[i].stream) : 0;
        close_lane(&transfer, &transfer.lanes[i]);
    }
    backup_planner_destroy(transfer.planner);
    for (size_t i = 0; transfer.disks != NULL && i < options->begun->n_disks; i++) {
        disk_reader_close(transfer.disks[i].reader);
    }
    result->committed = transfer.committed;
    if (transfer.failed) {
        *err = transfer.why;
    }
    free(transfer.disks);
    free(transfer.lanes);
    pthread_mutex_destroy(&transfer.lock);
    return transfer.failed ? -1 : 0;
}
