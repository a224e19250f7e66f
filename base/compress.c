#include "base/compress.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct contexts {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void contexts_free(void *cookie)
{
    struct contexts *contexts = cookie;
    ZSTD_freeCCtx(contexts->compress);
    ZSTD_freeDCtx(contexts->decompress);
    free(contexts);
}

static void contexts_start(void)
{
    if (pthread_key_create(&key, contexts_free) != 0) {
        abort();
    }
}

static struct contexts *contexts_of_thread(void)
{
    pthread_once(&once, contexts_start);
    struct contexts *contexts = pthread_getspecific(key);
    if (contexts == NULL) {
        contexts = memory_zalloc(sizeof *contexts);
        contexts->compress = ZSTD_createCCtx();
        contexts->decompress = ZSTD_createDCtx();
        if (contexts->compress == NULL || contexts->decompress == NULL ||
            pthread_setspecific(key, contexts) != 0) {
            fputs("out of memory\n", stderr);
            abort();
        }
    }
    return contexts;
}

int decompress_run(enum compression compression, const void *payload, size_t payload_length, void *out,
                   size_t length)
{
    if (compression == COMPRESSION_PLAIN) {
        if (payload_length != length) {
            return -1;
        }
        memcpy(out, payload, length);
        return 0;
    }
    if (compression != COMPRESSION_ZSTD) {
        return -1;
    }
    /* zstd itself goes on with further frames, and skips over foreign ones. */
    if (ZSTD_findFrameCompressedSize(payload, payload_length) != payload_length) {
        return -1;
    }
    size_t got = ZSTD_decompressDCtx(contexts_of_thread()->decompress, out, length, payload, payload_length);
    return ZSTD_isError(got) || got != length ? -1 : 0;
}

size_t compress_bound(size_t length)
{
    return ZSTD_compressBound(length);
}

enum compression compress_run(const void *plain, size_t length, int level, void *out, size_t *out_length)
{
    size_t packed =
        ZSTD_compressCCtx(contexts_of_thread()->compress, out, compress_bound(length), plain, length, level);
    if (ZSTD_isError(packed) || packed >= length) {
        memcpy(out, plain, length);
        *out_length = length;
        return COMPRESSION_PLAIN;
    }
    *out_length = packed;
    return COMPRESSION_ZSTD;
}
