#include "disk/disk_reader_source.h"
#include "base/memory.h"
#include "disk/disk_reader_internal.h"
#include <stdlib.h>

struct source_reader {
    struct disk_reader base;
    const struct disk_reader_source *source;
    void *self;
};

static int source_extents(struct disk_reader *base, uint64_t offset, uint64_t length,
                          struct disk_extent *extents, size_t capacity, size_t *count, struct error *err)
{
    struct source_reader *reader = (struct source_reader *)base;
    return reader->source->extents(reader->self, offset, length, extents, capacity, count, err);
}

static int source_read(struct disk_reader *base, uint64_t offset, void *out, size_t length, struct error *err)
{
    struct source_reader *reader = (struct source_reader *)base;
    return reader->source->read(reader->self, offset, out, length, err);
}

static void source_close(struct disk_reader *base)
{
    struct source_reader *reader = (struct source_reader *)base;
    reader->source->close(reader->self);
    free(reader);
}

struct disk_reader *disk_reader_open_source(const struct disk_reader_source *source, void *self,
                                            uint64_t size)
{
    static const struct disk_reader_operations operations = {source_extents, source_read, source_close};
    struct source_reader *reader = memory_zalloc(sizeof *reader);
    reader->base = (struct disk_reader){&operations, size};
    reader->source = source;
    reader->self = self;
    return &reader->base;
}
