#include "disk/disk_reader.h"
#include "base/bytes.h"
#include "disk/disk_reader_internal.h"

void disk_reader_close(struct disk_reader *reader)
{
    if (reader)
        reader->operations->close(reader);
}

uint64_t disk_reader_size(const struct disk_reader *reader)
{
    return reader->size;
}

int disk_reader_extents(struct disk_reader *reader, uint64_t offset, uint64_t length,
                        struct disk_extent *extents, size_t capacity, size_t *count, struct error *err)
{
    *count = 0;
    if (offset >= reader->size || length == 0 || capacity == 0)
        return 0;
    if (length > reader->size - offset)
        length = reader->size - offset;
    return reader->operations->extents(reader, offset, length, extents, capacity, count, err);
}

int disk_reader_read(struct disk_reader *reader, uint64_t offset, void *out, size_t length, struct error *err)
{
    uint64_t end = 0;
    if (!bytes_add_u64(offset, length, &end) || end > reader->size)
        return error_set(err, ERROR_DISK_CHANGED,
                         "A read of %zu bytes at %llu passes the end of the disk (%llu bytes).", length,
                         (unsigned long long)offset, (unsigned long long)reader->size);
    if (length == 0)
        return 0;
    return reader->operations->read(reader, offset, out, length, err);
}
