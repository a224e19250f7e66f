#include "agent/backup_planner.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>

enum { PLANNER_EXTENTS = 256 };
static const uint64_t planner_stretch = (uint64_t)1 << 30; /* asked of the disk at once */

struct backup_planner {
    const struct backup_planner_disk *disks;
    size_t count;
    uint32_t chunk_size;
    pthread_mutex_t lock; /* guards what follows */
    size_t disk;
    uint64_t position; /* on the disk, a multiple of the chunk size */
    struct disk_extent extents[PLANNER_EXTENTS];
    size_t extent;
    size_t extent_count;
    size_t left_out; /* the first range of the disk that may lie at the position or behind it */
    size_t missing;  /* likewise */
};

struct backup_planner *backup_planner_create(const struct backup_planner_disk *disks, size_t count,
                                             uint32_t chunk_size)
{
    struct backup_planner *planner = memory_zalloc(sizeof *planner);
    planner->disks = disks;
    planner->count = count;
    planner->chunk_size = chunk_size;
    pthread_mutex_init(&planner->lock, NULL);
    return planner;
}

void backup_planner_destroy(struct backup_planner *planner)
{
    if (planner != NULL) {
        pthread_mutex_destroy(&planner->lock);
        free(planner);
    }
}

/* The extent that holds the byte at offset. */
static const struct disk_extent *extent_at(struct backup_planner *planner, uint64_t offset, struct error *err)
{
    const struct backup_planner_disk *disk = &planner->disks[planner->disk];
    for (;;) {
        while (planner->extent < planner->extent_count) {
            const struct disk_extent *extent = &planner->extents[planner->extent];
            if (offset >= extent->offset && offset - extent->offset < extent->length) {
                return extent;
            }
            planner->extent++;
        }
        uint64_t length = disk->size - offset < planner_stretch ? disk->size - offset : planner_stretch;
        planner->extent = 0;
        planner->extent_count = 0;
        if (disk_reader_extents(disk->reader, offset, length, planner->extents, PLANNER_EXTENTS,
                                &planner->extent_count, err) != 0) {
            return NULL;
        }
        if (planner->extent_count == 0 || planner->extents[0].offset > offset ||
            planner->extents[0].length == 0) {
            error_set(err, ERROR_DISK_CHANGED, "Disk %s ends at %llu of %llu bytes", disk->name,
                      (unsigned long long)offset, (unsigned long long)disk->size);
            return NULL;
        }
    }
}

/* The chunk at the position lies in several extents. */
static int mixed_chunk(struct backup_planner *planner, enum disk_extent_kind *kind, struct error *err)
{
    const struct backup_planner_disk *disk = &planner->disks[planner->disk];
    uint64_t left = disk->size - planner->position;
    uint64_t end = planner->position + (left < planner->chunk_size ? left : planner->chunk_size);
    bool first = true;
    for (uint64_t at = planner->position; at < end;) {
        const struct disk_extent *extent = extent_at(planner, at, err);
        if (extent == NULL) {
            return -1;
        }
        *kind = first || *kind == extent->kind ? extent->kind : DISK_EXTENT_DATA;
        first = false;
        at = extent->offset + extent->length;
    }
    return 0;
}

/* The whole chunks in a range, from byte to byte; empty when there are none. */
struct chunk_span {
    uint64_t start;
    uint64_t end;
};

static struct chunk_span span_of(const struct disk_pages_range *range, uint64_t size, uint32_t chunk_size)
{
    uint64_t end = range->offset + range->length;
    uint64_t over = range->offset % chunk_size;
    struct chunk_span span = {.start = over == 0 ? range->offset : range->offset - over + chunk_size,
                              .end = end == size ? size : end - end % chunk_size};
    if (span.start >= span.end) {
        span.end = span.start;
    }
    return span;
}

/* What is left out at the position or next behind it; at the disk's end when nothing is. */
static struct chunk_span next_left_out(struct backup_planner *planner)
{
    const struct backup_planner_disk *disk = &planner->disks[planner->disk];
    for (; planner->left_out < disk->left_out_count; planner->left_out++) {
        struct chunk_span span = span_of(&disk->left_out[planner->left_out], disk->size, planner->chunk_size);
        if (span.start < span.end && span.end > planner->position) {
            return span;
        }
    }
    return (struct chunk_span){disk->size, disk->size};
}

void backup_planner_left_out(const struct backup_planner_disk *disk, uint32_t chunk_size, uint64_t *swap,
                             uint64_t *page_files)
{
    *swap = 0;
    *page_files = 0;
    for (size_t i = 0; i < disk->left_out_count; i++) {
        struct chunk_span span = span_of(&disk->left_out[i], disk->size, chunk_size);
        *(disk->left_out[i].kind == DISK_PAGES_PAGE_FILE ? page_files : swap) += span.end - span.start;
    }
}

/* Of so many unchanged chunks at the position, those that can be taken alike: unchanged, or data where the
 * parent has zeros only because they were left out. */
static uint64_t unchanged_chunks(struct backup_planner *planner, uint64_t chunks, enum disk_extent_kind *kind)
{
    const struct backup_planner_disk *disk = &planner->disks[planner->disk];
    uint64_t chunk = planner->position / planner->chunk_size;
    for (; planner->missing < disk->missing_count; planner->missing++) {
        const struct disk_pages_range *range = &disk->missing[planner->missing];
        uint64_t first = range->offset / planner->chunk_size;
        uint64_t last = (range->offset + range->length - 1) / planner->chunk_size;
        if (last < chunk) {
            continue;
        }
        bool inside = first <= chunk;
        uint64_t alike = inside ? last + 1 - chunk : first - chunk;
        *kind = inside ? DISK_EXTENT_DATA : DISK_EXTENT_UNCHANGED;
        return chunks < alike ? chunks : alike;
    }
    return chunks;
}

static int give_zeros(struct backup_planner *planner, uint64_t end, struct backup_plan_item *item)
{
    uint64_t length = end - planner->position;
    uint64_t chunks = length / planner->chunk_size + (length % planner->chunk_size != 0);
    *item = (struct backup_plan_item){.disk = planner->disk,
                                      .zeros = true,
                                      .first = planner->position / planner->chunk_size,
                                      .count = chunks};
    planner->position += chunks * planner->chunk_size;
    return 1;
}

/* One step on the current disk: 1 an item, 0 nothing to do there, -1 error. */
static int step(struct backup_planner *planner, uint64_t max_chunks, struct backup_plan_item *item,
                struct error *err)
{
    const struct backup_planner_disk *disk = &planner->disks[planner->disk];
    struct chunk_span left_out = next_left_out(planner);
    if (planner->position >= left_out.start) {
        return give_zeros(planner, left_out.end, item);
    }
    const struct disk_extent *extent = extent_at(planner, planner->position, err);
    if (extent == NULL) {
        return -1;
    }
    uint64_t end = extent->offset + extent->length;
    bool to_the_end = end >= disk->size;
    uint64_t length = (to_the_end ? disk->size : end) - planner->position;
    uint64_t chunks = length / planner->chunk_size + (to_the_end && length % planner->chunk_size != 0);
    enum disk_extent_kind kind = extent->kind;
    uint64_t before = (left_out.start - planner->position) / planner->chunk_size;
    if (left_out.start < disk->size && chunks > before) {
        chunks = before;
    }
    if (chunks == 0) {
        chunks = 1;
        if (mixed_chunk(planner, &kind, err) != 0) {
            return -1;
        }
    }
    if (kind == DISK_EXTENT_UNCHANGED) {
        chunks = unchanged_chunks(planner, chunks, &kind);
    }
    if (kind == DISK_EXTENT_DATA && chunks > max_chunks) {
        chunks = max_chunks;
    }
    *item = (struct backup_plan_item){.disk = planner->disk,
                                      .zeros = kind == DISK_EXTENT_ZERO,
                                      .first = planner->position / planner->chunk_size,
                                      .count = chunks};
    planner->position += chunks * planner->chunk_size;
    return kind != DISK_EXTENT_UNCHANGED;
}

int backup_planner_next(struct backup_planner *planner, uint64_t max_chunks, struct backup_plan_item *item,
                        struct error *err)
{
    int result = 0;
    pthread_mutex_lock(&planner->lock);
    while (result == 0 && planner->disk < planner->count) {
        if (planner->position >= planner->disks[planner->disk].size) {
            planner->disk++;
            planner->position = 0;
            planner->left_out = 0;
            planner->missing = 0;
            planner->extent_count = 0;
        } else {
            result = step(planner, max_chunks, item, err);
        }
    }
    pthread_mutex_unlock(&planner->lock);
    return result;
}
