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
    EXTENTS_MAGIC = 0x58454648, /* "HFEX" */
    EXTENTS_VERSION = 1,
    EXTENTS_PREFACE = 24,
    EXTENTS_HEADER = 16,
    EXTENTS_CHUNKS_MAX = 256, /* in one frame */
    EXTENTS_PLAIN_MAX = 16 * 1024 * 1024,
    EXTENTS_CHUNK_MIN = 4096,
    EXTENTS_FAILURE_MAX = 65536,
};

enum extents_kind { EXTENTS_DATA = 1, EXTENTS_END = 2, EXTENTS_FAILED = 3 };

struct extents_frame {
    uint8_t kind;
    uint8_t compression;
    uint16_t count;
    uint32_t length;
    uint64_t offset;
};

struct extents {
    struct disk_writer *writer;
    uint64_t size;
    uint32_t chunk_size; /* 0 before the preface */
    uint64_t chunks;
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

static int read_preface(struct extents *extents, struct reader *reader, struct failure *failure)
{
    uint32_t magic = reader_u32(reader);
    uint32_t version = reader_u32(reader);
    uint32_t chunk_size = reader_u32(reader);
    (void)reader_u32(reader); /* reserved */
    uint64_t size = reader_u64(reader);
    if (magic != EXTENTS_MAGIC || version != EXTENTS_VERSION) {
        return fail_invalid(failure, "unknown beginning or version");
    }
    if (chunk_size < EXTENTS_CHUNK_MIN || chunk_size > EXTENTS_PLAIN_MAX) {
        return fail_invalid(failure, "chunk size");
    }
    if (size != extents->size) {
        return fail_invalid(failure, "the disk has another size than its recovery point says");
    }
    extents->chunk_size = chunk_size;
    extents->plain = memory_alloc(EXTENTS_PLAIN_MAX);
    return 0;
}

/* Its lengths, before anything is waited for or allocated. */
static int check_frame(const struct extents *extents, const struct extents_frame *frame,
                       struct failure *failure)
{
    uint64_t plain = (uint64_t)frame->count * extents->chunk_size;
    switch (frame->kind) {
    case EXTENTS_DATA:
        if (frame->count == 0 || frame->count > EXTENTS_CHUNKS_MAX || plain > EXTENTS_PLAIN_MAX ||
            frame->length > plain) {
            return fail_invalid(failure, "length of a frame");
        }
        if (frame->offset % extents->chunk_size != 0 || frame->offset >= extents->size ||
            extents->size - frame->offset <= plain - extents->chunk_size) {
            return fail_invalid(failure, "data outside the disk");
        }
        return 0;
    case EXTENTS_END:
        return frame->length == 0 && frame->count == 0 ? 0
                                                       : fail_invalid(failure, "length of the last frame");
    case EXTENTS_FAILED:
        return frame->length <= EXTENTS_FAILURE_MAX && frame->count == 0
                   ? 0
                   : fail_invalid(failure, "length of an error");
    default:
        return fail_invalid(failure, "kind of a frame");
    }
}

static int write_data(struct extents *extents, const struct extents_frame *frame, const uint8_t *names,
                      const uint8_t *payload, struct failure *failure)
{
    struct error err;
    size_t plain = (size_t)frame->count * extents->chunk_size;
    uint64_t left = extents->size - frame->offset;
    if (decompress_run((enum compression)frame->compression, payload, frame->length, extents->plain, plain) !=
        0) {
        return failure_set(failure, ERROR_CHUNK_DAMAGED,
                           "The data at byte %" PRIu64 " of the disk can't be unpacked", frame->offset);
    }
    for (size_t i = 0; i < frame->count; i++) {
        uint8_t digest[DIGEST_SIZE];
        digest_sha256(extents->plain + i * extents->chunk_size, extents->chunk_size, digest);
        if (memcmp(digest, names + i * DIGEST_SIZE, DIGEST_SIZE) != 0) {
            return failure_set(failure, ERROR_CHUNK_DAMAGED,
                               "The data at byte %" PRIu64 " of the disk does not match its SHA-256",
                               frame->offset + (uint64_t)i * extents->chunk_size);
        }
    }
    size_t length = left < plain ? (size_t)left : plain;
    error_clear(&err);
    if (disk_writer_write(extents->writer, frame->offset, extents->plain, length, &err) != 0) {
        return failure_from_error(failure, &err);
    }
    extents->chunks += frame->count;
    extents->data_bytes += length;
    return 0;
}

static int take_failure(const uint8_t *payload, size_t length, struct failure *failure)
{
    json_error_t json_error;
    json_t *body = json_loadb((const char *)payload, length, 0, &json_error);
    failure_from_reply(failure, 500, body);
    json_decref(body);
    return -1;
}

static int take_frame(struct extents *extents, const struct extents_frame *frame, const uint8_t *names,
                      const uint8_t *payload, struct failure *failure)
{
    if (extents->ended) {
        return fail_invalid(failure, "something behind its end");
    }
    if (frame->kind == EXTENTS_DATA) {
        return write_data(extents, frame, names, payload, failure);
    }
    if (frame->kind == EXTENTS_FAILED) {
        return take_failure(payload, frame->length, failure);
    }
    extents->ended = true;
    return frame->offset == extents->chunks ? 0 : fail_invalid(failure, "chunks are missing");
}

/* 1 one frame was taken, 0 more bytes are needed, -1. */
static int step(struct extents *extents, struct reader *reader, struct failure *failure)
{
    struct reader ahead = *reader;
    struct extents_frame frame;
    if (extents->chunk_size == 0) {
        if (reader_left(reader) < EXTENTS_PREFACE) {
            return 0;
        }
        return read_preface(extents, reader, failure) == 0 ? 1 : -1;
    }
    if (reader_left(&ahead) < EXTENTS_HEADER) {
        return 0;
    }
    frame.kind = reader_u8(&ahead);
    frame.compression = reader_u8(&ahead);
    frame.count = reader_u16(&ahead);
    frame.length = reader_u32(&ahead);
    frame.offset = reader_u64(&ahead);
    if (check_frame(extents, &frame, failure) != 0) {
        return -1;
    }
    size_t names_length = (size_t)frame.count * DIGEST_SIZE;
    if (reader_left(&ahead) < names_length + frame.length) {
        return 0;
    }
    const uint8_t *names = reader_bytes(&ahead, names_length);
    const uint8_t *payload = reader_bytes(&ahead, frame.length);
    *reader = ahead;
    return take_frame(extents, &frame, names, payload, failure) == 0 ? 1 : -1;
}

int extents_feed(struct extents *extents, const void *bytes, size_t length, struct failure *failure)
{
    struct reader reader;
    int taken;
    buffer_append(&extents->input, bytes, length);
    reader_init(&reader, extents->input.data, extents->input.length);
    do {
        taken = step(extents, &reader, failure);
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
