/*
 * Records and container headers, byte by byte as docs/format.md has them. Parsing takes any bytes: nothing is
 * read before it is known to be there.
 */
#ifndef HOLDFAST_STORAGE_RECORD_H
#define HOLDFAST_STORAGE_RECORD_H

#include "storage/chunk.h"

enum {
    CONTAINER_HEADER_SIZE = 64,
    CONTAINER_FOOTER_SIZE = 24,
    RECORD_HEADER_SIZE = 32,
    RECORD_CRC_SIZE = 4,
    RECORD_ALIGNMENT = 8,
    RECORD_PAYLOAD_MAX = STORE_RUN_BYTES_MAX + 65536,
};

enum record_kind {
    RECORD_RUN = 1,   /* 1 to 16 chunks */
    RECORD_NODE = 2,  /* one map node */
    RECORD_TABLE = 3, /* the table that seals a container */
};

enum { RECORD_ZSTD = 1 }; /* flags; others are for encryption to come */

struct record {
    uint8_t kind;
    uint8_t flags;
    uint8_t count;
    uint32_t payload_length;
    uint32_t plain_length;
    const uint8_t *names; /* count × 32, in the input */
    const uint8_t *payload;
    uint32_t total; /* bytes in the file, padding included */
};

/* Bytes in the file of a record with that many names and that payload. */
uint32_t record_size(unsigned count, uint32_t payload_length);
/* out has record_size bytes. */
void record_encode(uint8_t *out, enum record_kind kind, uint8_t flags, const struct chunk_name *names,
                   unsigned count, const void *payload, uint32_t payload_length, uint32_t plain_length);
/* Look at the header alone: 0 and *total when it could be one (the record may still be damaged), -1
 * otherwise. */
int record_peek(const uint8_t *bytes, size_t length, uint32_t *total);
/* A whole record with its CRC right. -1 when it is not one. */
int record_parse(const uint8_t *bytes, size_t length, struct record *record);

void container_header_encode(uint8_t out[CONTAINER_HEADER_SIZE], const uint8_t store_uuid[16],
                             uint64_t container, uint32_t chunk_size);
/* 0 when it is a header of this store and container. */
int container_header_check(const uint8_t in[CONTAINER_HEADER_SIZE], const uint8_t store_uuid[16],
                           uint64_t container);
void container_footer_encode(uint8_t out[CONTAINER_FOOTER_SIZE], uint32_t table_offset, uint32_t table_total);
int container_footer_parse(const uint8_t in[CONTAINER_FOOTER_SIZE], uint32_t *table_offset,
                           uint32_t *table_total);

/* The sealing table: entries one behind the other. */
struct table_entry {
    uint32_t offset;
    uint32_t total;
    uint8_t kind;
    uint8_t count;
    const uint8_t *names;
};
enum { TABLE_ENTRY_SIZE = 12 }; /* without names */
void table_entry_encode(uint8_t *out, const struct table_entry *entry);
/* Bytes taken, or 0 when what is there is no entry. */
size_t table_entry_parse(const uint8_t *bytes, size_t length, struct table_entry *entry);

#endif
