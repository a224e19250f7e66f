#include "cli/extents.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/compress.h"
#include "base/digest.h"
#include "base/memory.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXTENTS_TAG = 4,
    EXTENTS_START_LENGTH = 12,
    EXTENTS_RUN_LENGTH = 12,
    EXTENTS_END_LENGTH = 8,
    EXTENTS_FAILURE_LENGTH = 4,
    EXTENTS_PLACE_LENGTH = 12,
    EXTENTS_CHUNKS_MAX = 16, /* in one run */
    EXTENTS_PLACES_MAX = 65536,
    EXTENTS_PLAIN_MAX = 16 * 1024 * 1024,
    EXTENTS_CHUNK_MIN = 4096,
    EXTENTS_FAILURE_MAX = 65536,
};

struct extents_run {
    uint8_t compression;
    uint8_t count;
    uint32_t place_count;
    uint32_t length;
    const uint8_t *names;
    const uint8_t *places;
    const uint8_t *payload;
};

struct extents {
    struct disk_writer *writer;
    uint64_t size;
    uint32_t chunk_size; /* 0 before the start */
    uint64_t places;
    uint64_t data_bytes;
    bool ended;
    uint8_t *plain;
    struct buffer input;
};

struct extents *extents_create(struct disk_writer *writer, uint64_t size)
{
    struct extents *extents = memory_zalloc(sizeof *extents);
    extents->writer = writer;
    extents->size = size;
    buffer_init(&extents->input, SIZE_MAX / 2);
    return extents;
}

void extents_destroy(struct extents *extents)
{
    if (extents != NULL) {
        buffer_free(&extents->input);
        free(extents->plain);
        free(extents);
    }
}

uint64_t extents_data_bytes(const struct extents *extents)
{
    return extents->data_bytes;
}

static int fail_invalid(struct failure *failure, const char *what)
{
    return failure_set(failure, ERROR_PROTOCOL_INVALID, "The server's stream of the disk is not valid: %s",
                       what);
}

/* Each of the take_ functions: 1 taken, 0 more bytes are needed, -1. */

static int take_start(struct extents *extents, struct reader *reader, struct failure *failure)
{
    if (reader_left(reader) < EXTENTS_START_LENGTH) {
        return 0;
    }
    uint32_t chunk_size = reader_u32(reader);
    uint64_t size = reader_u64(reader);
    if (extents->chunk_size != 0 || chunk_size < EXTENTS_CHUNK_MIN || chunk_size > EXTENTS_PLAIN_MAX) {
        return fail_invalid(failure, "its start");
    }
    if (size != extents->size) {
        return fail_invalid(failure, "the disk has another size than its recovery point says");
    }
    extents->chunk_size = chunk_size;
    extents->plain = memory_alloc(EXTENTS_PLAIN_MAX);
    return 1;
}

static int write_place(struct extents *extents, uint64_t index, uint32_t position, struct failure *failure)
{
    struct error err;
    uint64_t offset;
    if (!bytes_multiply_u64(index, extents->chunk_size, &offset) || offset >= extents->size) {
        return fail_invalid(failure, "data outside the disk");
    }
    uint64_t left = extents->size - offset;
    size_t length = left < extents->chunk_size ? (size_t)left : extents->chunk_size;
    error_clear(&err);
    if (disk_writer_write(extents->writer, offset, extents->plain + (size_t)position * extents->chunk_size,
                          length, &err) != 0) {
        return failure_from_error(failure, &err);
    }
    extents->places++;
    extents->data_bytes += length;
    return 0;
}

static int write_run(struct extents *extents, const struct extents_run *run, struct failure *failure)
{
    struct reader places;
    size_t chunk_size = extents->chunk_size;
    if (decompress_run((enum compression)run->compression, run->payload, run->length, extents->plain,
                       run->count * chunk_size) != 0) {
        return failure_set(failure, ERROR_CHUNK_DAMAGED, "A run of chunks of the disk can't be unpacked");
    }
    for (size_t i = 0; i < run->count; i++) {
        uint8_t digest[DIGEST_SIZE];
        digest_sha256(extents->plain + i * chunk_size, chunk_size, digest);
        if (memcmp(digest, run->names + i * DIGEST_SIZE, DIGEST_SIZE) != 0) {
            return failure_set(failure, ERROR_CHUNK_DAMAGED,
                               "A chunk of the disk does not match its SHA-256");
        }
    }
    reader_init(&places, run->places, (size_t)run->place_count * EXTENTS_PLACE_LENGTH);
    for (uint32_t i = 0; i < run->place_count; i++) {
        uint64_t index = reader_u64(&places);
        uint32_t position = reader_u32(&places);
        if (position >= run->count) {
            return fail_invalid(failure, "a place of no chunk");
        }
        if (write_place(extents, index, position, failure) != 0) {
            return -1;
        }
    }
    return 0;
}

static int take_run(struct extents *extents, struct reader *reader, struct failure *failure)
{
    struct extents_run run;
    if (reader_left(reader) < EXTENTS_RUN_LENGTH) {
        return 0;
    }
    run.compression = reader_u8(reader);
    run.count = reader_u8(reader);
    (void)reader_u16(reader); /* reserved */
    run.place_count = reader_u32(reader);
    run.length = reader_u32(reader);
    uint64_t plain = (uint64_t)run.count * extents->chunk_size;
    if (extents->chunk_size == 0 || run.count == 0 || run.count > EXTENTS_CHUNKS_MAX ||
        plain > EXTENTS_PLAIN_MAX || run.length > plain || run.place_count > EXTENTS_PLACES_MAX) {
        return fail_invalid(failure, "lengths of a run");
    }
    size_t names_length = (size_t)run.count * DIGEST_SIZE;
    size_t places_length = (size_t)run.place_count * EXTENTS_PLACE_LENGTH;
    if (reader_left(reader) < names_length + places_length + run.length) {
        return 0;
    }
    run.names = reader_bytes(reader, names_length);
    run.places = reader_bytes(reader, places_length);
    run.payload = reader_bytes(reader, run.length);
    return write_run(extents, &run, failure) == 0 ? 1 : -1;
}

static int take_end(struct extents *extents, struct reader *reader, struct failure *failure)
{
    if (reader_left(reader) < EXTENTS_END_LENGTH) {
        return 0;
    }
    if (extents->chunk_size == 0 || reader_u64(reader) != extents->places) {
        return fail_invalid(failure, "chunks are missing at its end");
    }
    extents->ended = true;
    return 1;
}

/* The server met an error on its way. */
static int take_failure(struct reader *reader, struct failure *failure)
{
    enum { HTTP_FAILED = 500 };
    json_error_t problem;
    if (reader_left(reader) < EXTENTS_FAILURE_LENGTH) {
        return 0;
    }
    uint32_t length = reader_u32(reader);
    if (length > EXTENTS_FAILURE_MAX) {
        return fail_invalid(failure, "length of an error");
    }
    if (reader_left(reader) < length) {
        return 0;
    }
    json_t *body = json_loadb((const char *)reader_bytes(reader, length), length, 0, &problem);
    failure_from_reply(failure, HTTP_FAILED, body);
    json_decref(body);
    return -1;
}

static int take(struct extents *extents, struct reader *reader, struct failure *failure)
{
    struct reader ahead = *reader;
    const uint8_t *tag = reader_bytes(&ahead, EXTENTS_TAG);
    int taken;
    if (tag == NULL) {
        return 0;
    }
    if (extents->ended) {
        return fail_invalid(failure, "something behind its end");
    }
    if (memcmp(tag, "HFXR", EXTENTS_TAG) == 0) {
        taken = take_run(extents, &ahead, failure);
    } else if (memcmp(tag, "HFXS", EXTENTS_TAG) == 0) {
        taken = take_start(extents, &ahead, failure);
    } else if (memcmp(tag, "HFXE", EXTENTS_TAG) == 0) {
        taken = take_end(extents, &ahead, failure);
    } else if (memcmp(tag, "HFXF", EXTENTS_TAG) == 0) {
        taken = take_failure(&ahead, failure);
    } else {
        taken = fail_invalid(failure, "an unknown piece");
    }
    if (taken > 0) {
        *reader = ahead;
    }
    return taken;
}

int extents_feed(struct extents *extents, const void *bytes, size_t length, struct failure *failure)
{
    struct reader reader;
    int taken;
    buffer_append(&extents->input, bytes, length);
    reader_init(&reader, extents->input.data, extents->input.length);
    do {
        taken = take(extents, &reader, failure);
    } while (taken > 0 && reader_left(&reader) > 0);
    size_t left = reader_left(&reader);
    if (left > 0 && left < extents->input.length) {
        memmove(extents->input.data, extents->input.data + extents->input.length - left, left);
    }
    extents->input.length = left;
    return taken < 0 ? -1 : 0;
}

int extents_finish(const struct extents *extents, struct failure *failure)
{
    if (!extents->ended || extents->input.length > 0) {
        return failure_set(failure, ERROR_CONNECTION_LOST,
                           "The server's stream of the disk broke off after %" PRIu64 " bytes of data",
                           extents->data_bytes);
    }
    return 0;
}
