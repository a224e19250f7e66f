/*
 * Inside the room: walking through the records of a container.
 */
#ifndef HOLDFAST_STORAGE_STORE_SCAN_H
#define HOLDFAST_STORAGE_STORE_SCAN_H

#include "storage/record.h"

struct store;

struct scan_visitor {
    /* Each valid record with its place. Non-zero stops the scan and is returned. */
    int (*record)(void *cookie, const struct record *record, uint32_t offset);
    /* A stretch that holds no valid record; may be NULL. */
    int (*bad)(void *cookie, uint32_t start, uint32_t end);
    void *cookie;
};

/* Walk from `start` on. Bytes that are no record are passed over in steps of the alignment until one is
 * found. */
int store_scan_bytes(const uint8_t *bytes, uint32_t length, uint32_t start,
                     const struct scan_visitor *visitor);

/* The whole file, malloc'd. */
int store_load_container(struct store *store, uint64_t container, uint8_t **bytes, uint32_t *length,
                         struct error *err);

#endif
