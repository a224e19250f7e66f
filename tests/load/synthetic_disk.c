#include "synthetic_disk.h"

#include "base/memory.h"
#include "disk/disk_reader_internal.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_S = 6 * 3600, COMMON_CHUNKS = SYNTHETIC_DATA_CHUNKS / 2, RANDOM_BYTES = SYNTHETIC_CHUNK / 4 };

static const int64_t beginning_ms = 1798761600000; /* 2027-01-01T00:00:00Z */

atomic_uint synthetic_delay_ms;

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint64_t seed_of(unsigned vm, unsigned epoch, unsigned chunk)
{
    uint64_t state = ((uint64_t)vm << 40) ^ ((uint64_t)epoch << 16) ^ chunk;
    return next_random(&state);
}

unsigned synthetic_epoch(int64_t wall_ms)
{
    int64_t epoch = (wall_ms - beginning_ms) / (EPOCH_S * 1000);
    return epoch < 0 ? 0 : (unsigned)epoch;
}

/* The one that the epoch writes beside the first. */
static unsigned written_chunk(unsigned vm, unsigned epoch)
{
    return 1 + (unsigned)(seed_of(vm, epoch, SYNTHETIC_CHUNKS) % (SYNTHETIC_DATA_CHUNKS - 1));
}

/* The last epoch that wrote the chunk; 0: none since the beginning. */
static unsigned version_of(unsigned vm, unsigned epoch, unsigned chunk)
{
    while (epoch > 0 && chunk > 0 && written_chunk(vm, epoch) != chunk) {
        epoch--;
    }
    return epoch;
}

bool synthetic_changed(unsigned vm, unsigned from, unsigned to, unsigned chunk)
{
    return chunk < SYNTHETIC_DATA_CHUNKS && version_of(vm, to, chunk) > from;
}

void synthetic_fill(unsigned vm, unsigned epoch, unsigned chunk, uint8_t out[SYNTHETIC_CHUNK])
{
    if (chunk >= SYNTHETIC_DATA_CHUNKS) {
        memset(out, 0, SYNTHETIC_CHUNK);
        return;
    }
    unsigned version = version_of(vm, epoch, chunk);
    bool common = version == 0 && chunk > 0 && chunk <= COMMON_CHUNKS;
    uint64_t state = seed_of(common ? 0 : vm + 1, version, chunk);
    for (size_t at = 0; at < RANDOM_BYTES; at += sizeof state) {
        uint64_t random = next_random(&state);
        memcpy(out + at, &random, sizeof random);
    }
    memset(out + RANDOM_BYTES, 'h', SYNTHETIC_CHUNK - RANDOM_BYTES);
    if (chunk == 0) {
        memcpy(out, &vm, sizeof vm);
        memcpy(out + sizeof vm, &epoch, sizeof epoch);
    }
}

struct synthetic_reader {
    struct disk_reader reader;
    unsigned vm;
    unsigned epoch;
    int changed_since;
};

static enum disk_extent_kind kind_of(const struct synthetic_reader *reader, unsigned chunk)
{
    if (reader->changed_since >= 0 &&
        !synthetic_changed(reader->vm, (unsigned)reader->changed_since, reader->epoch, chunk)) {
        return DISK_EXTENT_UNCHANGED;
    }
    return chunk < SYNTHETIC_DATA_CHUNKS ? DISK_EXTENT_DATA : DISK_EXTENT_ZERO;
}

static int extents(struct disk_reader *base, uint64_t offset, uint64_t length, struct disk_extent *out,
                   size_t capacity, size_t *count, struct error *err)
{
    const struct synthetic_reader *reader = (const void *)base;
    unsigned last = (unsigned)((offset + length - 1) / SYNTHETIC_CHUNK);
    (void)err;
    *count = 0;
    for (unsigned chunk = (unsigned)(offset / SYNTHETIC_CHUNK); chunk <= last; chunk++) {
        enum disk_extent_kind kind = kind_of(reader, chunk);
        if (*count > 0 && out[*count - 1].kind == kind) {
            out[*count - 1].length += SYNTHETIC_CHUNK;
        } else if (*count < capacity) {
            out[(*count)++] = (struct disk_extent){(uint64_t)chunk * SYNTHETIC_CHUNK, SYNTHETIC_CHUNK, kind};
        } else {
            break;
        }
    }
    return 0;
}

static int read_bytes(struct disk_reader *base, uint64_t offset, void *out, size_t length, struct error *err)
{
    const struct synthetic_reader *reader = (const void *)base;
    uint8_t chunk[SYNTHETIC_CHUNK];
    uint8_t *to = out;
    (void)err;
    while (length > 0) {
        size_t skipped = offset % SYNTHETIC_CHUNK;
        size_t part = sizeof chunk - skipped < length ? sizeof chunk - skipped : length;
        synthetic_fill(reader->vm, reader->epoch, (unsigned)(offset / SYNTHETIC_CHUNK), chunk);
        memcpy(to, chunk + skipped, part);
        offset += part;
        to += part;
        length -= part;
        unsigned delay_ms = atomic_load(&synthetic_delay_ms);
        if (delay_ms > 0) {
            poll(NULL, 0, (int)delay_ms);
        }
    }
    return 0;
}

static void close_reader(struct disk_reader *base)
{
    free(base);
}

struct disk_reader *synthetic_open(unsigned vm, unsigned epoch, int changed_since)
{
    static const struct disk_reader_operations operations = {extents, read_bytes, close_reader};
    struct synthetic_reader *reader = memory_alloc(sizeof *reader);
    *reader = (struct synthetic_reader){
        .reader = {.operations = &operations, .size = (uint64_t)SYNTHETIC_CHUNKS * SYNTHETIC_CHUNK},
        .vm = vm,
        .epoch = epoch,
        .changed_since = changed_since};
    return &reader->reader;
}

static int check_chunks(FILE *file, unsigned vm, unsigned *epoch)
{
    static uint8_t found[SYNTHETIC_CHUNK];
    static uint8_t wanted[SYNTHETIC_CHUNK];
    for (unsigned chunk = 0; chunk < SYNTHETIC_CHUNKS; chunk++) {
        if (fread(found, sizeof found, 1, file) != 1) {
            printf("the disk ends at chunk %u\n", chunk);
            return -1;
        }
        if (chunk == 0) {
            memcpy(epoch, found + sizeof vm, sizeof *epoch);
        }
        synthetic_fill(vm, *epoch, chunk, wanted);
        if (memcmp(found, wanted, sizeof found) != 0) {
            printf("chunk %u is not what VM %u had in epoch %u\n", chunk, vm, *epoch);
            return -1;
        }
    }
    return 0;
}

int synthetic_check(const char *path, unsigned vm, unsigned *epoch)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        printf("%s can't be read\n", path);
        return -1;
    }
    int result = check_chunks(file, vm, epoch);
    fclose(file);
    return result;
}
