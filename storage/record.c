#include "storage/record.h"

#include "base/bytes.h"
#include "base/digest.h"
#include <string.h>

static const uint8_t container_magic[8] = "HFCONT1";
static const uint8_t footer_magic[8] = "HFSEAL1";
static const uint8_t record_magic[4] = {'H', 'F', 'R', 'C'};

enum { FORMAT_VERSION = 1, NAME_SIZE = RECORD_NAME_SIZE };

uint32_t record_size(unsigned count, uint32_t payload_length)
{
    uint32_t length = RECORD_HEADER_SIZE + count * NAME_SIZE + payload_length + RECORD_CRC_SIZE;
    return (length + RECORD_ALIGNMENT - 1) / RECORD_ALIGNMENT * RECORD_ALIGNMENT;
}

uint8_t *record_begin(uint8_t *out, const struct record_header *header, const struct stored_name *names)
{
    memset(out, 0, RECORD_HEADER_SIZE);
    memcpy(out, record_magic, sizeof record_magic);
    out[4] = (uint8_t)header->kind;
    out[5] = header->flags;
    out[6] = header->count;
    bytes_put_u32(out + 8, header->payload_length);
    bytes_put_u32(out + 12, header->plain_length);
    bytes_put_u32(out + 16, header->key_id);
    uint8_t *next = out + RECORD_HEADER_SIZE;
    for (unsigned i = 0; i < header->count; i++, next += NAME_SIZE) {
        memcpy(next, names[i].bytes, NAME_SIZE);
    }
    return next;
}

void record_finish(uint8_t *out)
{
    uint32_t payload_length = bytes_get_u32(out + 8);
    size_t covered = RECORD_HEADER_SIZE + (size_t)out[6] * NAME_SIZE + payload_length;
    size_t total = record_size(out[6], payload_length);
    bytes_put_u32(out + covered, digest_crc32c(0, out, covered));
    memset(out + covered + RECORD_CRC_SIZE, 0, total - covered - RECORD_CRC_SIZE);
}

void record_encode(uint8_t *out, const struct seal *seal, enum record_kind kind, uint8_t flags,
                   const struct stored_name *names, unsigned count, const void *payload,
                   uint32_t payload_length, uint32_t plain_length)
{
    struct record_header header = {.kind = kind,
                                   .flags = flags,
                                   .count = (uint8_t)count,
                                   .payload_length = payload_length,
                                   .plain_length = plain_length};
    if (seal != NULL) {
        header.flags |= RECORD_SEALED;
        header.payload_length += SEAL_OVERHEAD;
        header.key_id = seal_key_id(seal);
    }
    uint8_t *place = record_begin(out, &header, names);
    if (seal != NULL) {
        seal_encrypt(seal_data_key(seal), out, (size_t)(place - out), payload, payload_length, place);
    } else if (payload_length > 0) {
        memcpy(place, payload, payload_length);
    }
    record_finish(out);
}

int record_payload(const struct record *record, uint8_t *bytes, const struct seal *seal,
                   const uint8_t **payload, size_t *length)
{
    size_t before = RECORD_HEADER_SIZE + (size_t)record->count * NAME_SIZE;
    uint8_t *plain;
    if ((record->flags & RECORD_SEALED) == 0) {
        *payload = record->payload;
        *length = record->payload_length;
        /* In an encrypted store nobody but an intruder leaves a record open. */
        return seal == NULL || record->kind == RECORD_TABLE ? 0 : -1;
    }
    if (seal == NULL || record->key_id != seal_key_id(seal) ||
        seal_decrypt(seal_data_key(seal), bytes, before, bytes + before, record->payload_length, &plain,
                     length) != 0) {
        return -1;
    }
    *payload = plain;
    return 0;
}

int record_peek(const uint8_t *bytes, size_t length, uint32_t *total)
{
    if (length < RECORD_HEADER_SIZE || memcmp(bytes, record_magic, sizeof record_magic) != 0) {
        return -1;
    }
    uint32_t payload_length = bytes_get_u32(bytes + 8);
    unsigned count = bytes[6];
    bool table = bytes[4] == RECORD_TABLE;
    if (payload_length > RECORD_PAYLOAD_MAX || count > STORE_RUN_MAX || table != (count == 0)) {
        return -1;
    }
    *total = record_size(count, payload_length);
    return 0;
}

void record_view(const uint8_t *bytes, struct record *record)
{
    record->kind = bytes[4];
    record->flags = bytes[5];
    record->count = bytes[6];
    record->payload_length = bytes_get_u32(bytes + 8);
    record->plain_length = bytes_get_u32(bytes + 12);
    record->key_id = bytes_get_u32(bytes + 16);
    record->names = bytes + RECORD_HEADER_SIZE;
    record->payload = record->names + (size_t)record->count * NAME_SIZE;
    record->total = record_size(record->count, record->payload_length);
}

int record_parse(const uint8_t *bytes, size_t length, struct record *record)
{
    uint32_t total;
    if (record_peek(bytes, length, &total) != 0 || total > length) {
        return -1;
    }
    record_view(bytes, record);
    size_t covered = RECORD_HEADER_SIZE + (size_t)record->count * NAME_SIZE + record->payload_length;
    if (digest_crc32c(0, bytes, covered) != bytes_get_u32(bytes + covered)) {
        return -1;
    }
    bool known = record->kind >= RECORD_RUN && record->kind <= RECORD_TABLE &&
                 (record->flags & ~(RECORD_ZSTD | RECORD_SEALED)) == 0;
    bool single = record->kind != RECORD_NODE || record->count == 1;
    return known && single ? 0 : -1;
}

void container_header_encode(uint8_t out[CONTAINER_HEADER_SIZE], const uint8_t store_uuid[16],
                             uint64_t container, uint32_t chunk_size)
{
    memset(out, 0, CONTAINER_HEADER_SIZE);
    memcpy(out, container_magic, sizeof container_magic);
    bytes_put_u32(out + 8, FORMAT_VERSION);
    memcpy(out + 16, store_uuid, 16);
    bytes_put_u64(out + 32, container);
    bytes_put_u32(out + 40, chunk_size);
    bytes_put_u32(out + 60, digest_crc32c(0, out, 60));
}

int container_header_check(const uint8_t in[CONTAINER_HEADER_SIZE], const uint8_t store_uuid[16],
                           uint64_t container)
{
    bool good = memcmp(in, container_magic, sizeof container_magic) == 0 &&
                bytes_get_u32(in + 60) == digest_crc32c(0, in, 60) &&
                bytes_get_u32(in + 8) == FORMAT_VERSION && memcmp(in + 16, store_uuid, 16) == 0 &&
                bytes_get_u64(in + 32) == container;
    return good ? 0 : -1;
}

void container_footer_encode(uint8_t out[CONTAINER_FOOTER_SIZE], uint32_t table_offset, uint32_t table_total)
{
    memcpy(out, footer_magic, sizeof footer_magic);
    bytes_put_u32(out + 8, table_offset);
    bytes_put_u32(out + 12, table_total);
    bytes_put_u32(out + 16, 0);
    bytes_put_u32(out + 20, digest_crc32c(0, out, 20));
}

int container_footer_parse(const uint8_t in[CONTAINER_FOOTER_SIZE], uint32_t *table_offset,
                           uint32_t *table_total)
{
    if (memcmp(in, footer_magic, sizeof footer_magic) != 0 ||
        bytes_get_u32(in + 20) != digest_crc32c(0, in, 20)) {
        return -1;
    }
    *table_offset = bytes_get_u32(in + 8);
    *table_total = bytes_get_u32(in + 12);
    return 0;
}

void table_entry_encode(uint8_t *out, const struct table_entry *entry)
{
    bytes_put_u32(out, entry->offset);
    bytes_put_u32(out + 4, entry->total);
    out[8] = entry->kind;
    out[9] = entry->count;
    bytes_put_u16(out + 10, 0);
    memcpy(out + TABLE_ENTRY_SIZE, entry->names, (size_t)entry->count * NAME_SIZE);
}

size_t table_entry_parse(const uint8_t *bytes, size_t length, struct table_entry *entry)
{
    struct reader reader;
    reader_init(&reader, bytes, length);
    entry->offset = reader_u32(&reader);
    entry->total = reader_u32(&reader);
    entry->kind = reader_u8(&reader);
    entry->count = reader_u8(&reader);
    reader_u16(&reader);
    entry->names = reader_bytes(&reader, (size_t)entry->count * NAME_SIZE);
    bool good = !reader_failed(&reader) && entry->count >= 1 && entry->count <= STORE_RUN_MAX &&
                (entry->kind == RECORD_RUN || entry->kind == RECORD_NODE);
    return good ? length - reader_left(&reader) : 0;
}
