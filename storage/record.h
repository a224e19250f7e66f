/*
 * Records and container headers, byte by byte as docs/format.md has them. Parsing takes any bytes: nothing is
 * read before it is known to be there.
 */
#ifndef HOLDFAST_STORAGE_RECORD_H
#define HOLDFAST_STORAGE_RECORD_H

#include "storage/seal.h"

enum {
    CONTAINER_HEADER_SIZE = 64,
    CONTAINER_FOOTER_SIZE = 24,
    RECORD_HEADER_SIZE = 32,
    RECORD_CRC_SIZE = 4,
    RECORD_ALIGNMENT = 8,
    RECORD_PAYLOAD_MAX = STORE_RUN_BYTES_MAX + 65536,
    RECORD_NAME_SIZE = 32,
};

enum record_kind {
    RECORD_RUN = 1,   /* 1 to 16 chunks */
    RECORD_NODE = 2,  /* one map node */
    RECORD_TABLE = 3, /* the table that seals a container */
};

enum { RECORD_ZSTD = 1, RECORD_SEALED = 2 }; /* flags */

struct record {
    uint8_t kind;
    uint8_t flags;
    uint8_t count;
    uint32_t payload_length;
    uint32_t plain_length;
    uint32_t key_id;      /* 0 when it is not sealed */
    const uint8_t *names; /* count × 32, in the input, as stored */
    const uint8_t *payload;
    uint32_t total; /* bytes in the file, padding included */
};

/* Bytes in the file of a record with that many names and that payload. */
uint32_t record_size(unsigned count, uint32_t payload_length);
/* Begin a record in out, which has record_size bytes: header and names are written, and where the payload
 * goes is returned. What lies before it is the associated data of a sealed payload. */
struct record_header {
    enum record_kind kind;
    uint8_t flags;
    uint8_t count;
    uint32_t payload_length; /* as stored: SEAL_OVERHEAD included */
    uint32_t plain_length;
    uint32_t key_id;
};
uint8_t *record_begin(uint8_t *out, const struct record_header *header, const struct stored_name *names);
/* The payload is in its place: write the checksum and the padding. */
void record_finish(uint8_t *out);
/* Make a whole record: the payload is sealed when there is a seal (record_size needs SEAL_OVERHEAD more
 * then). */
void record_encode(uint8_t *out, const struct seal *seal, enum record_kind kind, uint8_t flags,
                   const struct stored_name *names, unsigned count, const void *payload,
                   uint32_t payload_length, uint32_t plain_length);
/* The payload of a record that was parsed from `bytes`, unsealed in place where it is sealed. -1 when the
 * seal is broken, or there is no key. */
int record_payload(const struct record *record, uint8_t *bytes, const struct seal *seal,
                   const uint8_t **payload, size_t *length);
/* Look at the header alone: 0 and *total when it could be one (the record may still be damaged), -1
 * otherwise. */
int record_peek(const uint8_t *bytes, size_t length, uint32_t *total);
/* The fields of a record that is known to be whole. */
void record_view(const uint8_t *bytes, struct record *record);
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
