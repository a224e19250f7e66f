#include "base/digest.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* Reversed polynomial of RFC 3720. */
enum { CRC32C_TABLES = 8 };
static const uint32_t polynomial = 0x82f63b78u;

static uint32_t tables[CRC32C_TABLES][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void crc32c_start(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ polynomial : crc >> 1;
        }
        tables[0][i] = crc;
    }
    for (int t = 1; t < CRC32C_TABLES; t++) {
        for (uint32_t i = 0; i < 256; i++) {
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 255];
        }
    }
}

/* Eight bytes a step ("slicing by 8", Kounavis and Berry, 2005). */
static uint32_t crc32c_portable(uint32_t crc, const uint8_t *bytes, size_t length)
{
    pthread_once(&once, crc32c_start);
    for (; length >= 8; bytes += 8, length -= 8) {
        crc ^= (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
               (uint32_t)bytes[3] << 24;
        crc = tables[7][crc & 255] ^ tables[6][crc >> 8 & 255] ^ tables[5][crc >> 16 & 255] ^
              tables[4][crc >> 24] ^ tables[3][bytes[4]] ^ tables[2][bytes[5]] ^ tables[1][bytes[6]] ^
              tables[0][bytes[7]];
    }
    for (; length > 0; bytes++, length--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 255];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *bytes,
                                                               size_t length)
{
    uint64_t wide = crc;
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; length > 0; bytes++, length--) {
        crc = __builtin_ia32_crc32qi(crc, *bytes);
    }
    return crc;
}
#endif

uint32_t digest_crc32c(uint32_t crc, const void *bytes, size_t length)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc32c_sse42(~crc, bytes, length);
    }
#endif
    return ~crc32c_portable(~crc, bytes, length);
}
