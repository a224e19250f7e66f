/*
 * SHA-256 (FIPS 180-4, through OpenSSL) and CRC-32C (Castagnoli, RFC 3720 appendix B.4). Thread-safe.
 */
#ifndef HOLDFAST_BASE_DIGEST_H
#define HOLDFAST_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_SIZE = 32 };

void digest_sha256(const void *bytes, size_t length, uint8_t out[DIGEST_SIZE]);
void digest_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                        uint8_t out[DIGEST_SIZE]);
/* crc: 0 for the first part, the former result for the next. Uses the CPU's instruction where there is one.
 */
uint32_t digest_crc32c(uint32_t crc, const void *bytes, size_t length);

#endif
