/*
 * Compression of runs of chunks: zstd (RFC 8878), bounded, with contexts that are kept by thread.
 * Thread-safe.
 */
#ifndef HOLDFAST_BASE_COMPRESS_H
#define HOLDFAST_BASE_COMPRESS_H

#include <stddef.h>

enum compression {
    COMPRESSION_PLAIN = 0, /* the plaintext itself */
    COMPRESSION_ZSTD = 1,  /* one zstd frame */
};

/* Exactly `length` bytes of plaintext into out, or -1. */
int decompress_run(enum compression compression, const void *payload, size_t payload_length, void *out,
                   size_t length);

/* The longest that compress_run can give. */
size_t compress_bound(size_t length);
/* Compress into out, which has compress_bound(length) bytes: gives the compression chosen (plain when zstd
 * does not help) and the length. */
enum compression compress_run(const void *plain, size_t length, int level, void *out, size_t *out_length);

#endif
