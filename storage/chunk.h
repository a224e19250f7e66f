/*
 * Chunks: putting, looking up and reading. A chunk is chunk_size bytes of one disk (the last one of a disk
 * padded with zeros), named by the SHA-256 of its plaintext. All-zero chunks are never stored; the all-zero
 * name stands for them in maps.
 *
 * A run is 1 to STORE_RUN_MAX chunks whose plaintexts are concatenated and compressed together; it becomes
 * one record of a container.
 */
#ifndef HOLDFAST_STORAGE_CHUNK_H
#define HOLDFAST_STORAGE_CHUNK_H

#include "base/compress.h"
#include "storage/store.h"

struct chunk_name {
    uint8_t bytes[32];
};

bool chunk_name_is_zero(const struct chunk_name *name);
bool chunk_name_equal(const struct chunk_name *a, const struct chunk_name *b);
void chunk_name_of(const void *plain, size_t length, struct chunk_name *name);

struct chunk_run {
    const struct chunk_name *names; /* count of them, plaintext names */
    size_t count;                   /* 1 to STORE_RUN_MAX */
    enum compression compression;
    const void *payload; /* borrowed for the call */
    size_t length;
};

struct chunk_put_result {
    uint32_t new_chunks;   /* of the run's chunks, those that the store did not have */
    uint64_t stored_bytes; /* what the containers grew by */
};

/*
 * Store a run from outside: decompress (bounded by count * chunk_size, exactly that or PROTOCOL_INVALID),
 * name every chunk and compare (PROTOCOL_INVALID naming the first that differs), leave out what is there
 * already (a run with some known chunks is recompressed without them), append. A chunk that is quarantined as
 * damaged is healed by this. STORE_FULL when the space that is left is reserved.
 */
int chunk_put_run(struct store *store, const struct chunk_run *run, struct chunk_put_result *result,
                  struct error *err);

/* True when the store holds the chunk undamaged (durable or put in this process). The zero name is always
 * there. Of use to writers (storage/writers.h): what is there stays until the writer ends. */
bool chunk_exists(struct store *store, const struct chunk_name *name);

/* Read one chunk into out[chunk_size], checked against its name. CHUNK_DAMAGED. The zero name gives zeros. */
int chunk_read(struct store *store, const struct chunk_name *name, void *out, struct error *err);

/* Where a chunk lies: as long as a lease that was begun before (storage/writers.h). */
struct chunk_location {
    uint64_t container; /* 0: the store does not have it, or it is damaged */
    uint32_t offset;
    uint32_t length;   /* of the whole record */
    uint8_t position;  /* in the run */
    uint8_t run_count; /* chunks in the record */
};

int chunk_locate(struct store *store, const struct chunk_name *names, size_t count,
                 struct chunk_location *locations, struct error *err);

/* Note that a chunk did not read right: it is looked up no more until it is stored again. */
void chunk_report_damage(struct store *store, const struct chunk_name *name);

struct chunk_record {
    size_t count;
    enum compression compression;
    const uint8_t *payload; /* still compressed; inside memory */
    size_t length;
    void *memory;
};

/* Read the whole record at a location, checked by its CRC. CHUNK_DAMAGED. */
struct chunk_record *chunk_record_read(struct store *store, const struct chunk_location *location,
                                       struct error *err);
void chunk_record_destroy(struct chunk_record *record);
/* The run's plaintext, count * chunk_size bytes into out. CHUNK_DAMAGED. Names are checked by the caller. */
int chunk_record_unpack(struct store *store, const struct chunk_record *record, void *out, struct error *err);

#endif
