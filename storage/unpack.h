/*
 * Compression of runs: bounded, with contexts that are kept by thread.
 */
#ifndef HOLDFAST_STORAGE_UNPACK_H
#define HOLDFAST_STORAGE_UNPACK_H

#include "storage/chunk.h"

/* Exactly `length` bytes of plaintext, or -1. */
int unpack_run(enum chunk_compression compression, const void *payload, size_t payload_length, void *out,
               size_t length);
/* Compress into out, which has pack_bound(length) bytes; gives the compression chosen (plain when zstd does
 * not help) and the length. */
size_t pack_bound(size_t length);
enum chunk_compression pack_run(const void *plain, size_t length, int level, void *out, size_t *out_length);

#endif
