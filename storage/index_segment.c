#include "storage/index_segment.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <endian.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    HEADER_SIZE = 64,
    VERSION = 1,
    BITS_MAX = 30,
    ITEMS_OF_ENTRY = 32, /* about so many behind each entry of the directory */
    BUFFER_SIZE = 256 * 1024,
};
static const char magic[8] = "HFINDEX";

static uint64_t directory_entries(unsigned bits)
{
    return ((uint64_t)1 << bits) + 1;
}

static uint64_t items_offset(unsigned bits)
{
    return (HEADER_SIZE + directory_entries(bits) * 8 + 63) / 64 * 64;
}

/* As a number that is ordered as names are. In this file and not called: lookups do little else. */
static inline uint64_t first_bytes(const uint8_t *name)
{
    uint64_t value;
    memcpy(&value, name, sizeof value);
    return be64toh(value);
}

static uint64_t entry_of(const uint8_t *name, unsigned bits)
{
    return bits == 0 ? 0 : first_bytes(name) >> (64 - bits);
}

static int segment_fail(const char *path, struct error *err)
{
    enum error_code code = os_file_error_is_full(err) ? ERROR_STORE_FULL : ERROR_STORE_UNAVAILABLE;
    return error_wrap(err, code, "The segment %s of the store's index failed", path);
}

/* --- writing */

/* What is written at one place, from front to back. */
struct stream {
    uint64_t offset;
    size_t length;
    uint8_t *bytes;
};

struct index_segment_writer {
    struct os_file *file;
    struct stream directory;
    struct stream items;
    unsigned bits;
    uint64_t next_entry; /* of the directory */
    uint64_t count;
    uint32_t crc;
};

static int stream_flush(struct index_segment_writer *writer, struct stream *stream, struct error *err)
{
    if (os_file_write_at(writer->file, stream->offset, stream->bytes, stream->length, err) != 0) {
        return segment_fail(os_file_path(writer->file), err);
    }
    stream->offset += stream->length;
    stream->length = 0;
    return 0;
}

static int stream_put(struct index_segment_writer *writer, struct stream *stream, const void *bytes,
                      size_t length, struct error *err)
{
    if (stream->length + length > BUFFER_SIZE && stream_flush(writer, stream, err) != 0) {
        return -1;
    }
    memcpy(stream->bytes + stream->length, bytes, length);
    stream->length += length;
    return 0;
}

/* All entries up to this one begin at the next item. */
static int put_directory(struct index_segment_writer *writer, uint64_t up_to, struct error *err)
{
    uint8_t bytes[8];
    int result = 0;
    bytes_put_u64(bytes, writer->count);
    for (; writer->next_entry <= up_to && result == 0; writer->next_entry++) {
        result = stream_put(writer, &writer->directory, bytes, sizeof bytes, err);
    }
    return result;
}

struct index_segment_writer *index_segment_create(const char *path, uint64_t count_max, struct error *err)
{
    struct os_file *file = os_file_open(path, OS_FILE_CREATE_NEW, err);
    if (file == NULL) {
        segment_fail(path, err);
        return NULL;
    }
    struct index_segment_writer *writer = memory_zalloc(sizeof *writer);
    writer->file = file;
    while (writer->bits < BITS_MAX && count_max >> writer->bits > ITEMS_OF_ENTRY) {
        writer->bits++;
    }
    writer->directory = (struct stream){.offset = HEADER_SIZE, .bytes = memory_alloc(BUFFER_SIZE)};
    writer->items = (struct stream){.offset = items_offset(writer->bits), .bytes = memory_alloc(BUFFER_SIZE)};
    return writer;
}

int index_segment_append(struct index_segment_writer *writer, const struct index_item *item,
                         struct error *err)
{
    if (put_directory(writer, entry_of(item->name, writer->bits), err) != 0 ||
        stream_put(writer, &writer->items, item, sizeof *item, err) != 0) {
        return -1;
    }
    writer->crc = digest_crc32c(writer->crc, item, sizeof *item);
    writer->count++;
    return 0;
}

uint64_t index_segment_written(const struct index_segment_writer *writer)
{
    return writer->count;
}

static void writer_free(struct index_segment_writer *writer)
{
    os_file_close(writer->file);
    free(writer->directory.bytes);
    free(writer->items.bytes);
    free(writer);
}

void index_segment_abandon(struct index_segment_writer *writer)
{
    struct error ignored;
    os_path_remove(os_file_path(writer->file), &ignored);
    writer_free(writer);
}

static int write_header(struct index_segment_writer *writer, struct error *err)
{
    uint8_t header[HEADER_SIZE] = {0};
    memcpy(header, magic, sizeof magic);
    bytes_put_u32(header + 8, VERSION);
    bytes_put_u32(header + 12, writer->bits);
    bytes_put_u64(header + 16, writer->count);
    bytes_put_u32(header + 24, writer->crc);
    bytes_put_u32(header + 60, digest_crc32c(0, header, 60));
    if (os_file_write_at(writer->file, 0, header, sizeof header, err) != 0 ||
        os_file_sync(writer->file, err) != 0) {
        return segment_fail(os_file_path(writer->file), err);
    }
    return 0;
}

int index_segment_finish(struct index_segment_writer *writer, struct error *err)
{
    if (put_directory(writer, directory_entries(writer->bits) - 1, err) != 0 ||
        stream_flush(writer, &writer->directory, err) != 0 ||
        stream_flush(writer, &writer->items, err) != 0 || write_header(writer, err) != 0) {
        index_segment_abandon(writer);
        return -1;
    }
    writer_free(writer);
    return 0;
}

/* --- reading */

struct index_segment {
    uint64_t serial;
    const uint8_t *bytes; /* mapped */
    uint64_t length;
    unsigned bits;
    uint64_t count;
    uint32_t crc;
    const uint8_t *directory;
    const struct index_item *items;
    atomic_uint references;
};

static bool parse_header(struct index_segment *segment)
{
    const uint8_t *header = segment->bytes;
    if (memcmp(header, magic, sizeof magic) != 0 || bytes_get_u32(header + 8) != VERSION ||
        bytes_get_u32(header + 60) != digest_crc32c(0, header, 60)) {
        return false;
    }
    segment->bits = bytes_get_u32(header + 12);
    segment->count = bytes_get_u64(header + 16);
    segment->crc = bytes_get_u32(header + 24);
    if (segment->bits > BITS_MAX || items_offset(segment->bits) > segment->length ||
        (segment->length - items_offset(segment->bits)) / INDEX_ITEM_SIZE != segment->count) {
        return false;
    }
    segment->directory = segment->bytes + HEADER_SIZE;
    segment->items = (const struct index_item *)(segment->bytes + items_offset(segment->bits));
    return true;
}

static int map_segment(struct index_segment *segment, struct os_file *file, struct error *err)
{
    const char *path = os_file_path(file);
    if (os_file_size(file, &segment->length, err) != 0) {
        return segment_fail(path, err);
    }
    if (segment->length >= HEADER_SIZE) {
        void *bytes = mmap(NULL, segment->length, PROT_READ, MAP_SHARED, os_file_descriptor(file), 0);
        segment->bytes = bytes == MAP_FAILED ? NULL : bytes;
    }
    if (segment->bytes == NULL || !parse_header(segment)) {
        return error_set(err, ERROR_STORE_UNAVAILABLE, "%s is no segment of an index", path);
    }
    madvise((void *)(uintptr_t)segment->bytes, segment->length, MADV_RANDOM);
    return 0;
}

struct index_segment *index_segment_open(const char *path, uint64_t serial, struct error *err)
{
    struct os_file *file = os_file_open(path, OS_FILE_READ, err);
    if (file == NULL) {
        segment_fail(path, err);
        return NULL;
    }
    struct index_segment *segment = memory_zalloc(sizeof *segment);
    segment->serial = serial;
    atomic_init(&segment->references, 1);
    int result = map_segment(segment, file, err);
    os_file_close(file);
    if (result != 0) {
        index_segment_release(segment);
        return NULL;
    }
    return segment;
}

void index_segment_keep(struct index_segment *segment)
{
    atomic_fetch_add(&segment->references, 1);
}

void index_segment_release(struct index_segment *segment)
{
    if (segment == NULL || atomic_fetch_sub(&segment->references, 1) != 1) {
        return;
    }
    if (segment->bytes != NULL) {
        munmap((void *)(uintptr_t)segment->bytes, segment->length);
    }
    free(segment);
}

uint64_t index_segment_serial(const struct index_segment *segment)
{
    return segment->serial;
}

uint64_t index_segment_count(const struct index_segment *segment)
{
    return segment->count;
}

const struct index_item *index_segment_items(const struct index_segment *segment)
{
    return segment->items;
}

uint32_t index_segment_crc(const struct index_segment *segment)
{
    return segment->crc;
}

uint64_t index_segment_bytes(const struct index_segment *segment)
{
    return segment->length;
}

static void read_ahead(const struct index_segment *segment, uint64_t from, uint64_t length)
{
    enum { ONE_REQUEST = 128 * 1024 }; /* Linux reads no more than its read-ahead size at one advice */
    uint64_t end = length < segment->length - from ? from + length : segment->length;
    for (uint64_t at = from; at < end; at += ONE_REQUEST) {
        uint64_t left = segment->length - at;
        madvise((void *)(uintptr_t)(segment->bytes + at), left < ONE_REQUEST ? left : ONE_REQUEST,
                MADV_WILLNEED);
    }
}

void index_segment_read_ahead(const struct index_segment *segment)
{
    read_ahead(segment, 0, segment->length);
}

bool index_segment_is_whole(const struct index_segment *segment)
{
    enum { PIECE = 4 * 1024 * 1024 };
    uint32_t crc = 0;
    read_ahead(segment, 0, PIECE);
    for (uint64_t at = 0; at < segment->length; at += PIECE) {
        uint64_t end = segment->length - at > PIECE ? at + PIECE : segment->length;
        uint64_t start = at > items_offset(segment->bits) ? at : items_offset(segment->bits);
        read_ahead(segment, end, PIECE);
        if (start < end) {
            crc = digest_crc32c(crc, segment->bytes + start, end - start);
        }
    }
    return crc == segment->crc;
}

/* --- finding */

/* The items that have the name's first bits: [*low, *high). Within bounds whatever the file says. */
static void find_range(const struct index_segment *segment, const uint8_t *name, uint64_t *low,
                       uint64_t *high)
{
    const uint8_t *entry = segment->directory + entry_of(name, segment->bits) * 8;
    *low = bytes_get_u64(entry);
    *high = bytes_get_u64(entry + 8);
    *high = *high > segment->count ? segment->count : *high;
    *low = *low > *high ? *high : *low;
}

/* Names are spread evenly: about there, in [low, high], is the first item that is not lower. */
static uint64_t guess(const struct index_segment *segment, const uint8_t *name, uint64_t low, uint64_t high)
{
    uint64_t behind_directory = first_bytes(name) << segment->bits >> 32;
    return low + ((high - low) * behind_directory >> 32);
}

void index_segment_prefetch_directory(const struct index_segment *segment, const struct stored_name *name)
{
    __builtin_prefetch(segment->directory + entry_of(name->bytes, segment->bits) * 8);
}

void index_segment_prefetch_items(const struct index_segment *segment, const struct stored_name *name)
{
    uint64_t low;
    uint64_t high;
    find_range(segment, name->bytes, &low, &high);
    const struct index_item *middle = &segment->items[guess(segment, name->bytes, low, high)];
    __builtin_prefetch(middle - 2);
    __builtin_prefetch(middle);
    __builtin_prefetch(middle + 2);
}

/* Most names differ in their first bytes. */
static bool is_lower(const uint8_t *left, const uint8_t *right)
{
    uint64_t a = first_bytes(left);
    uint64_t b = first_bytes(right);
    return a != b ? a < b : memcmp(left, right, INDEX_NAME_SIZE) < 0;
}

/* Narrows [*low, *high] from the guess on, in steps that double: mostly one or two. */
static void narrow(const struct index_segment *segment, const uint8_t *name, uint64_t *low, uint64_t *high)
{
    const struct index_item *items = segment->items;
    uint64_t at = guess(segment, name, *low, *high);
    uint64_t step = 2;
    if (at < *high && is_lower(items[at].name, name)) {
        *low = at + 1;
        for (; *high - *low > step && is_lower(items[*low + step].name, name); step *= 2) {
            *low += step + 1;
        }
        *high = *high - *low > step ? *low + step : *high;
    } else {
        *high = at;
        for (; *high - *low > step && !is_lower(items[*high - step].name, name); step *= 2) {
            *high -= step;
        }
        *low = *high - *low > step ? *high - step : *low;
    }
}

uint64_t index_segment_seek(const struct index_segment *segment, const uint8_t name[INDEX_NAME_SIZE])
{
    uint64_t low;
    uint64_t high;
    find_range(segment, name, &low, &high);
    narrow(segment, name, &low, &high);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (is_lower(segment->items[middle].name, name)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct index_item *index_segment_find(const struct index_segment *segment,
                                            const struct stored_name *name)
{
    uint64_t at = index_segment_seek(segment, name->bytes);
    return at < segment->count && memcmp(segment->items[at].name, name->bytes, INDEX_NAME_SIZE) == 0
               ? &segment->items[at]
               : NULL;
}
