/*
 * Inside the room: listing containers and walking through their records.
 */
#ifndef HOLDFAST_STORAGE_STORE_SCAN_H
#define HOLDFAST_STORAGE_STORE_SCAN_H

#include "storage/record.h"

struct store;

struct scan_visitor {
    /* Each valid record with its place in the container; `bytes` is where it begins, and may be changed.
     * Non-zero stops the scan and is returned. */
    int (*record)(void *cookie, const struct record *record, uint8_t *bytes, uint32_t offset);
    /* A stretch that holds no valid record; may be NULL. */
    int (*bad)(void *cookie, uint32_t start, uint32_t end);
    void *cookie;
};

/* Walk through `length` bytes that lie at `start` in a container. Bytes that are no record are passed over in
 * steps of the alignment until one is found. */
int store_scan_bytes(uint8_t *bytes, uint32_t length, uint32_t start, const struct scan_visitor *visitor);

/* A container's bytes from `start` on, malloc'd. */
int store_load_container(struct store *store, uint64_t container, uint32_t start, uint8_t **bytes,
                         uint32_t *length, struct error *err);

/* The table of a sealed container, malloc'd, and what is in it: 1; 0 when there is no good one. */
struct container_table {
    uint8_t *bytes;
    const uint8_t *entries;
    size_t length;
    uint32_t offset; /* of the table in the container: records end there */
};
int store_read_table(struct store *store, uint64_t container, uint64_t size, struct container_table *table);
/* The next entry at *at; false at the end. Entries that could not be in the container are passed over. */
bool container_table_next(const struct container_table *table, size_t *at, struct table_entry *entry);

#endif
