#include "storage/scratch.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct scratch {
    uint8_t *bytes[SCRATCH_USES];
    size_t sizes[SCRATCH_USES];
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void scratch_free(void *cookie)
{
    struct scratch *scratch = cookie;
    for (size_t i = 0; i < SCRATCH_USES; i++) {
        free(scratch->bytes[i]);
    }
    free(scratch);
}

static void scratch_start(void)
{
    if (pthread_key_create(&key, scratch_free) != 0) {
        fputs("no thread keys are left\n", stderr);
        abort();
    }
}

uint8_t *scratch_get(enum scratch_use use, size_t size)
{
    pthread_once(&once, scratch_start);
    struct scratch *scratch = pthread_getspecific(key);
    if (scratch == NULL) {
        scratch = memory_zalloc(sizeof *scratch);
        if (pthread_setspecific(key, scratch) != 0) {
            fputs("out of memory\n", stderr);
            abort();
        }
    }
    if (scratch->sizes[use] < size) {
        free(scratch->bytes[use]);
        scratch->bytes[use] = memory_alloc(size);
        scratch->sizes[use] = size;
    }
    return scratch->bytes[use];
}
