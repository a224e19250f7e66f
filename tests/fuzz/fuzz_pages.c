/* A disk as a hostile guest may write it: 4 MiB of zeros, with pieces (offset u32, length u16, bytes) put on
 * it, little-endian. tests/fuzz/pieces.py makes such an input of an image. */
#include "base/bytes.h"
#include "disk/disk_pages.h"
#include "disk/disk_reader_internal.h"

#include <stdlib.h>
#include <string.h>

enum { DISK = 4 * 1024 * 1024 };

static uint8_t disk[DISK];

static int memory_read(struct disk_reader *reader, uint64_t offset, void *out, size_t length,
                       struct error *err)
{
    (void)reader, (void)err;
    memcpy(out, disk + offset, length);
    return 0;
}

static void put_pieces(const uint8_t *data, size_t size)
{
    struct reader pieces;
    memset(disk, 0, sizeof disk);
    reader_init(&pieces, data, size);
    while (reader_left(&pieces) > 0) {
        uint32_t offset = reader_u32(&pieces);
        uint16_t length = reader_u16(&pieces);
        const uint8_t *bytes = reader_bytes(&pieces, length);
        if (reader_failed(&pieces) || offset > DISK || length > DISK - offset) {
            return;
        }
        memcpy(disk + offset, bytes, length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct disk_reader_operations operations = {.read = memory_read};
    struct disk_reader reader = {&operations, DISK};
    struct error err;
    put_pieces(data, size);
    struct disk_pages *pages = disk_pages_find(&reader, &err);
    if (pages == NULL) {
        abort();
    }
    uint64_t end = 0;
    for (size_t i = 0; i < disk_pages_count(pages); i++) {
        const struct disk_pages_range *range = disk_pages_get(pages, i);
        if (range->offset < end || range->length == 0 || range->offset > DISK ||
            range->length > DISK - range->offset) {
            abort();
        }
        end = range->offset + range->length;
    }
    disk_pages_destroy(pages);
    return 0;
}
