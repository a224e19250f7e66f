/*
 * A segment of the index: a file of items sorted by name, written once, and a directory of where the names
 * with each first bits begin, so that a lookup touches one or two pages. Names are digests and spread evenly;
 * where they don't (an agent that wants it so) a lookup takes longer, by a binary search at most.
 *
 *   | 64          | header: "HFINDEX" 0, u32 version, u32 bits, u64 count, u32 CRC-32C of the items, 0,
 *   |             |   u32 CRC-32C of bytes 0 to 59
 *   | (2^bits+1)×8| number of the first item whose name begins with these bits or higher ones; at last the
 * count | to ×64      | 0 | count × 32  | items (index_item.h)
 *
 * Reading is thread-safe. Errors: STORE_FULL, STORE_UNAVAILABLE. All calls but lookups block.
 */
#ifndef HOLDFAST_STORAGE_INDEX_SEGMENT_H
#define HOLDFAST_STORAGE_INDEX_SEGMENT_H

#include "base/error.h"
#include "storage/index_item.h"

struct index_segment;
struct index_segment_writer;

/* A file that must not exist, for so many items or less. */
struct index_segment_writer *index_segment_create(const char *path, uint64_t count_max, struct error *err);
/* In the order of names, none twice. */
int index_segment_append(struct index_segment_writer *writer, const struct index_item *item,
                         struct error *err);
uint64_t index_segment_written(const struct index_segment_writer *writer);
/* Makes it durable (but not its directory). Ends the writer in any case, without the file when it fails. */
int index_segment_finish(struct index_segment_writer *writer, struct error *err);
void index_segment_abandon(struct index_segment_writer *writer);

/* With one reference. Its file may be removed or renamed meanwhile. */
struct index_segment *index_segment_open(const char *path, uint64_t serial, struct error *err);
void index_segment_keep(struct index_segment *segment);
void index_segment_release(struct index_segment *segment);
uint64_t index_segment_serial(const struct index_segment *segment);
uint64_t index_segment_count(const struct index_segment *segment);
const struct index_item *index_segment_items(const struct index_segment *segment);
/* Of all items, as they were written. */
uint32_t index_segment_crc(const struct index_segment *segment);
uint64_t index_segment_bytes(const struct index_segment *segment);
/* Ask the operating system to have all of it in memory soon. */
void index_segment_read_ahead(const struct index_segment *segment);
/* Whether its items are as they were written; reads all of it. */
bool index_segment_is_whole(const struct index_segment *segment);

/* Tell the memory what will be looked at: first for many names the one, then the other, then find them. */
void index_segment_prefetch_directory(const struct index_segment *segment, const struct stored_name *name);
void index_segment_prefetch_items(const struct index_segment *segment, const struct stored_name *name);
/* NULL when it is not there. */
const struct index_item *index_segment_find(const struct index_segment *segment,
                                            const struct stored_name *name);
/* Number of the first item whose name is not lower; the count when there is none. */
uint64_t index_segment_seek(const struct index_segment *segment, const uint8_t name[INDEX_NAME_SIZE]);

#endif
