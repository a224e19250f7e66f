#include "disk/disk_pages.h"
#include "base/memory.h"
#include "disk/disk_pages_internal.h"
#include <stdlib.h>

enum { RANGES_MAX = 1024 * 1024 };

bool disk_pages_add(struct disk_pages *pages, const struct disk_volume *volume, enum disk_pages_kind kind,
                    uint64_t offset, uint64_t length)
{
    if (length == 0 || offset > volume->length || length > volume->length - offset)
        return true;
    if (pages->count == RANGES_MAX)
        return false;
    if (pages->count == pages->capacity) {
        pages->capacity = pages->capacity ? pages->capacity * 2 : 16;
        pages->ranges = memory_resize(pages->ranges, pages->capacity, sizeof *pages->ranges);
    }
    pages->ranges[pages->count++] = (struct disk_pages_range){volume->offset + offset, length, kind};
    return true;
}

static int compare_ranges(const void *left, const void *right)
{
    const struct disk_pages_range *a = left;
    const struct disk_pages_range *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return 0;
}

/* In order. Bytes that two files claim belong to a damaged file system, where neither can be believed. */
static void sort_and_join(struct disk_pages *pages)
{
    if (pages->count == 0)
        return;
    qsort(pages->ranges, pages->count, sizeof *pages->ranges, compare_ranges);
    size_t kept = 0;
    for (size_t i = 0; i < pages->count;) {
        struct disk_pages_range range = pages->ranges[i++];
        uint64_t end = range.offset + range.length;
        bool disputed = false;
        for (; i < pages->count && pages->ranges[i].offset <= end; i++) {
            const struct disk_pages_range *next = &pages->ranges[i];
            if (next->offset == end && next->kind != range.kind)
                break;
            disputed = disputed || next->offset < end;
            if (next->offset + next->length > end)
                end = next->offset + next->length;
        }
        range.length = end - range.offset;
        if (!disputed)
            pages->ranges[kept++] = range;
    }
    pages->count = kept;
}

static void find_in_volume(struct disk_pages *pages, struct disk_volume *volume)
{
    if (disk_pages_find_swap(pages, volume))
        return;
    disk_pages_find_ext(pages, volume);
    disk_pages_find_ntfs(pages, volume);
}

struct disk_pages *disk_pages_find(struct disk_reader *reader, struct error *err)
{
    struct disk_volume whole;
    struct disk_volume volumes[DISK_VOLUMES_MAX];
    disk_volume_init(&whole, reader, 0, disk_reader_size(reader), err);
    size_t count = disk_volumes_find(&whole, volumes);
    bool failed = whole.failed;
    struct disk_pages *pages = memory_zalloc(sizeof *pages);
    for (size_t i = 0; i < count && !failed; i++) {
        find_in_volume(pages, &volumes[i]);
        failed = volumes[i].failed;
    }
    if (failed) {
        disk_pages_destroy(pages);
        return NULL;
    }
    if (pages->asleep)
        pages->count = 0;
    sort_and_join(pages);
    return pages;
}

void disk_pages_destroy(struct disk_pages *pages)
{
    if (!pages)
        return;
    free(pages->ranges);
    free(pages);
}

size_t disk_pages_count(const struct disk_pages *pages)
{
    return pages->count;
}

const struct disk_pages_range *disk_pages_get(const struct disk_pages *pages, size_t index)
{
    return &pages->ranges[index];
}

bool disk_pages_asleep(const struct disk_pages *pages)
{
    return pages->asleep;
}
