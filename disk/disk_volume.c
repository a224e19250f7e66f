#include "disk/disk_volume.h"
#include "base/bytes.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    BUDGET_BYTES = 256 * 1024 * 1024,
    BUDGET_READS = 64 * 1024,
    SECTOR = 512,
    MBR_ENTRIES = 446, /* where they begin */
    MBR_ENTRY_SIZE = 16,
    MBR_ENTRY_COUNT = 4,
    MBR_PROTECTIVE = 0xee,
    LOGICAL_MAX = 100, /* of one extended partition */
    GPT_HEADER_SIZE = 92,
    GPT_ENTRY_SIZE = 128,
    GPT_ENTRIES_BYTES_MAX = 1024 * 1024,
};

void disk_volume_init(struct disk_volume *volume, struct disk_reader *reader, uint64_t offset,
                      uint64_t length, struct error *err)
{
    *volume = (struct disk_volume){.reader = reader,
                                   .offset = offset,
                                   .length = length,
                                   .bytes_left = BUDGET_BYTES,
                                   .reads_left = BUDGET_READS,
                                   .err = err};
}

bool disk_volume_read(struct disk_volume *volume, uint64_t offset, void *out, size_t length)
{
    if (volume->failed || offset > volume->length || length > volume->length - offset)
        return false;
    if (volume->reads_left == 0 || length > volume->bytes_left) {
        volume->reads_left = 0;
        return false;
    }
    volume->reads_left--;
    volume->bytes_left -= length;
    volume->failed = disk_reader_read(volume->reader, volume->offset + offset, out, length, volume->err) != 0;
    return !volume->failed;
}

/* What a partition table gives, before it is checked. */
struct table {
    struct disk_volume *disk;
    struct disk_volume *volumes;
    size_t count;
};

/* False when there is no room for it or it is not within the disk. */
static bool table_add(struct table *table, uint64_t offset, uint64_t length)
{
    const struct disk_volume *disk = table->disk;
    if (offset == 0 || offset > disk->length || length > disk->length - offset ||
        table->count == DISK_VOLUMES_MAX)
        return false;
    disk_volume_init(&table->volumes[table->count++], disk->reader, offset, length, disk->err);
    return true;
}

static bool overlap(const struct disk_volume *a, const struct disk_volume *b)
{
    return a->offset < b->offset + b->length && b->offset < a->offset + a->length;
}

/* Which of two partitions has the bytes that both claim is not for us to say. */
static void table_drop_overlapping(struct table *table)
{
    bool dropped[DISK_VOLUMES_MAX] = {false};
    for (size_t i = 0; i < table->count; i++) {
        for (size_t j = i + 1; j < table->count; j++) {
            if (overlap(&table->volumes[i], &table->volumes[j]))
                dropped[i] = dropped[j] = true;
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (!dropped[i])
            table->volumes[kept++] = table->volumes[i];
    }
    table->count = kept;
}

struct mbr_entry {
    uint8_t status;
    uint8_t type;
    uint64_t start; /* in sectors, relative to what the entry's kind says */
    uint64_t sectors;
};

static struct mbr_entry mbr_entry_get(const uint8_t *sector, size_t index)
{
    const uint8_t *entry = sector + MBR_ENTRIES + index * MBR_ENTRY_SIZE;
    return (struct mbr_entry){entry[0], entry[4], bytes_get_u32(entry + 8), bytes_get_u32(entry + 12)};
}

static bool mbr_entry_is_extended(const struct mbr_entry *entry)
{
    return entry->sectors > 0 && (entry->type == 0x05 || entry->type == 0x0f || entry->type == 0x85);
}

static bool mbr_has_signature(const uint8_t *sector)
{
    return sector[510] == 0x55 && sector[511] == 0xaa;
}

/* The boot sector of a file system has the same signature; other things lie where the entries would be. */
static bool mbr_is_table(const uint8_t *sector)
{
    if (!mbr_has_signature(sector) || memcmp(sector + 3, "NTFS    ", 8) == 0)
        return false;
    bool any = false;
    for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_get(sector, i);
        if (entry.status != 0 && entry.status != 0x80)
            return false;
        any = any || entry.sectors > 0;
    }
    return any;
}

/* The next link of a chain of logical partitions. Adds the partition of the link at `at`; false when the
 * chain is not sound. *next: 0 at its end. */
static bool logical_read(struct table *table, const struct mbr_entry *extended, uint64_t at, uint64_t *next)
{
    uint8_t sector[SECTOR];
    if (!disk_volume_read(table->disk, at * SECTOR, sector, sizeof sector) || !mbr_has_signature(sector))
        return false;
    uint64_t end = extended->start + extended->sectors;
    *next = 0;
    for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_get(sector, i);
        if (entry.sectors == 0)
            continue;
        if (mbr_entry_is_extended(&entry)) {
            uint64_t link = extended->start + entry.start;
            if (*next != 0 || link <= extended->start || link >= end)
                return false;
            *next = link;
            continue;
        }
        uint64_t start = at + entry.start;
        if (start <= at || start >= end || entry.sectors > end - start)
            return false;
        if (!table_add(table, start * SECTOR, entry.sectors * SECTOR))
            return false;
    }
    return true;
}

/* A chain that is broken, too long or in circles gives none of its partitions. */
static void logical_find(struct table *table, const struct mbr_entry *extended)
{
    size_t before = table->count;
    uint64_t at = extended->start;
    for (unsigned links = 0; at != 0; links++) {
        if (links == LOGICAL_MAX || !logical_read(table, extended, at, &at)) {
            table->count = before;
            return;
        }
    }
}

static bool mbr_entries_overlap(const uint8_t *sector)
{
    for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry a = mbr_entry_get(sector, i);
        for (size_t j = i + 1; j < MBR_ENTRY_COUNT; j++) {
            struct mbr_entry b = mbr_entry_get(sector, j);
            if (a.start < b.start + b.sectors && b.start < a.start + a.sectors)
                return true;
        }
    }
    return false;
}

static bool mbr_find(struct table *table, const uint8_t *sector)
{
    if (mbr_entries_overlap(sector))
        return false;
    for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
        struct mbr_entry entry = mbr_entry_get(sector, i);
        if (mbr_entry_is_extended(&entry))
            logical_find(table, &entry);
        else if (entry.sectors > 0 && !table_add(table, entry.start * SECTOR, entry.sectors * SECTOR))
            return false;
    }
    return true;
}

static bool mbr_is_protective(const uint8_t *sector)
{
    for (size_t i = 0; i < MBR_ENTRY_COUNT; i++) {
        if (mbr_entry_get(sector, i).type == MBR_PROTECTIVE)
            return true;
    }
    return false;
}

static uint32_t gpt_crc(const uint8_t *bytes, size_t length)
{
    return (uint32_t)crc32(0, bytes, (uInt)length);
}

/* A header whose checksum is right, of this sector size. */
static bool gpt_header_read(struct disk_volume *disk, uint32_t sector, uint8_t header[GPT_HEADER_SIZE])
{
    uint8_t bytes[SECTOR];
    if (!disk_volume_read(disk, sector, bytes, sizeof bytes) || memcmp(bytes, "EFI PART", 8) != 0)
        return false;
    uint32_t size = bytes_get_u32(bytes + 12);
    uint32_t crc = bytes_get_u32(bytes + 16);
    if (size < GPT_HEADER_SIZE || size > sizeof bytes)
        return false;
    memset(bytes + 16, 0, 4);
    if (gpt_crc(bytes, size) != crc || bytes_get_u64(bytes + 24) != 1) /* its own place */
        return false;
    memcpy(header, bytes, GPT_HEADER_SIZE);
    return true;
}

static bool gpt_add(struct table *table, const uint8_t *entry, uint32_t sector, uint64_t first_usable,
                    uint64_t last_usable)
{
    uint64_t first = bytes_get_u64(entry + 32);
    uint64_t last = bytes_get_u64(entry + 40);
    if (bytes_are_zero(entry, 16)) /* an unused entry */
        return true;
    return first >= first_usable && last <= last_usable && first <= last &&
           table_add(table, first * sector, (last - first + 1) * sector);
}

static bool gpt_find_entries(struct table *table, const uint8_t *header, uint32_t sector)
{
    uint64_t sectors = table->disk->length / sector;
    uint64_t first_usable = bytes_get_u64(header + 40);
    uint64_t last_usable = bytes_get_u64(header + 48);
    uint64_t at = bytes_get_u64(header + 72);
    uint32_t count = bytes_get_u32(header + 80);
    uint32_t size = bytes_get_u32(header + 84);
    if (last_usable >= sectors || at >= sectors || count == 0 || size < GPT_ENTRY_SIZE ||
        count > GPT_ENTRIES_BYTES_MAX / size)
        return false;
    size_t length = (size_t)count * size;
    uint8_t *entries = memory_alloc(length);
    bool sound = disk_volume_read(table->disk, at * sector, entries, length) &&
                 gpt_crc(entries, length) == bytes_get_u32(header + 88);
    for (uint32_t i = 0; i < count && sound; i++)
        sound = gpt_add(table, entries + (size_t)i * size, sector, first_usable, last_usable);
    free(entries);
    return sound;
}

static bool gpt_find(struct table *table)
{
    static const uint32_t sector_sizes[] = {512, 4096};
    for (size_t i = 0; i < sizeof sector_sizes / sizeof *sector_sizes; i++) {
        uint8_t header[GPT_HEADER_SIZE];
        if (gpt_header_read(table->disk, sector_sizes[i], header))
            return gpt_find_entries(table, header, sector_sizes[i]);
    }
    return false;
}

size_t disk_volumes_find(struct disk_volume *whole, struct disk_volume volumes[DISK_VOLUMES_MAX])
{
    struct table table = {whole, volumes, 0};
    uint8_t sector[SECTOR];
    if (!disk_volume_read(whole, 0, sector, sizeof sector))
        return 0;
    if (!mbr_is_table(sector)) {
        disk_volume_init(&volumes[0], whole->reader, whole->offset, whole->length, whole->err);
        return 1;
    }
    if (!(mbr_is_protective(sector) ? gpt_find(&table) : mbr_find(&table, sector)))
        return 0;
    table_drop_overlapping(&table);
    return table.count;
}
