/*
 * The stream of GET /v1/recovery-points/{id}/disks/{name}/data (docs/openapi.yaml describes it), written to a
 * disk. Every chunk is checked against its SHA-256 before it is written; what the stream leaves out stays a
 * hole. Not thread-safe.
 */
#ifndef HOLDFAST_CLI_EXTENTS_H
#define HOLDFAST_CLI_EXTENTS_H

#include "cli/failure.h"
#include "disk/disk_writer.h"

struct extents;

/* size: that the disk must have. The writer is borrowed. */
struct extents *extents_create(struct disk_writer *writer, uint64_t size);
void extents_destroy(struct extents *extents);
/* More of the stream. PROTOCOL_INVALID, CHUNK_DAMAGED, what the server says of a failure of its own, or what
 * the writer says. */
int extents_feed(struct extents *extents, const void *bytes, size_t length, struct failure *failure);
/* The stream is over: CONNECTION_LOST unless it came to its end. */
int extents_finish(const struct extents *extents, struct failure *failure);
/* Bytes of data so far, without holes. */
uint64_t extents_data_bytes(const struct extents *extents);

#endif
