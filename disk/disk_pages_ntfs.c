#include "base/bytes.h"
#include "disk/disk_pages_internal.h"
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* These expect what is above to be included. */
#include <ntfs-3g/attrib.h>
#include <ntfs-3g/device.h>
#include <ntfs-3g/dir.h>
#include <ntfs-3g/inode.h>
#include <ntfs-3g/volume.h>

enum {
    BOOT_SECTOR = 512,
    CLUSTER_SIZE_MAX = 2 * 1024 * 1024,
    NAME_MAX_LENGTH = 16,
    FIXUP_STRIDE = 512,
    RECORD_SIZE_MAX = 4096,
    ATTRIBUTE_MIN = 24,
    ATTRIBUTE_RUNS_MIN = 64, /* with runs */
    ATTRIBUTE_LIST = 0x20,
    ATTRIBUTE_DATA = 0x80,
    ATTRIBUTE_END = -1,
};

/* libntfs-3g's device: a volume and a position in it. */
struct ntfs_source {
    struct disk_volume *volume;
    s64 position;
};

static int source_open(struct ntfs_device *device, int flags)
{
    (void)flags;
    NDevSetOpen(device);
    NDevSetReadOnly(device);
    return 0;
}

static int source_close(struct ntfs_device *device)
{
    device->d_state &= ~(1UL << ND_Open);
    return 0;
}

static s64 source_seek(struct ntfs_device *device, s64 offset, int whence)
{
    struct ntfs_source *source = device->d_private;
    if (whence != SEEK_SET || offset < 0 || (uint64_t)offset > source->volume->length) {
        errno = EINVAL;
        return -1;
    }
    source->position = offset;
    return offset;
}

static s64 source_pread(struct ntfs_device *device, void *out, s64 count, s64 offset)
{
    struct ntfs_source *source = device->d_private;
    if (count < 0 || offset < 0 || !disk_volume_read(source->volume, (uint64_t)offset, out, (size_t)count)) {
        errno = EIO;
        return -1;
    }
    return count;
}

static s64 source_read(struct ntfs_device *device, void *out, s64 count)
{
    struct ntfs_source *source = device->d_private;
    s64 got = source_pread(device, out, count, source->position);
    if (got > 0)
        source->position += got;
    return got;
}

static s64 source_write(struct ntfs_device *device, const void *bytes, s64 count)
{
    (void)device, (void)bytes, (void)count;
    errno = EROFS;
    return -1;
}

static s64 source_pwrite(struct ntfs_device *device, const void *bytes, s64 count, s64 offset)
{
    (void)offset;
    return source_write(device, bytes, count);
}

static int source_sync(struct ntfs_device *device)
{
    (void)device;
    return 0;
}

static int source_stat(struct ntfs_device *device, struct stat *info)
{
    const struct ntfs_source *source = device->d_private;
    memset(info, 0, sizeof *info);
    info->st_mode = S_IFREG;
    info->st_size = (off_t)source->volume->length;
    return 0;
}

static int source_ioctl(struct ntfs_device *device, unsigned long request, void *argument)
{
    (void)device, (void)request, (void)argument;
    errno = ENOTTY;
    return -1;
}

static struct ntfs_device_operations source_operations = {
    .open = source_open,
    .close = source_close,
    .seek = source_seek,
    .read = source_read,
    .write = source_write,
    .pread = source_pread,
    .pwrite = source_pwrite,
    .sync = source_sync,
    .stat = source_stat,
    .ioctl = source_ioctl,
};

/* What the boot sector says. */
struct ntfs_layout {
    uint64_t cluster_size;
    uint64_t record_size;
    uint64_t mft_cluster;
};

/* As the boot sector tells sizes: a number of units, or from `low` on a negative power of two. */
static uint64_t coded_size(uint8_t code, uint8_t low, uint64_t unit)
{
    if (code < low)
        return code * unit;
    return code > 256 - 32 ? (uint64_t)1 << (256 - code) : 0;
}

static bool is_power_between(uint64_t value, uint64_t low, uint64_t high)
{
    return value >= low && value <= high && (value & (value - 1)) == 0;
}

/* libntfs-3g takes sizes from here that it does not bound. */
static bool boot_sector_read(struct disk_volume *volume, struct ntfs_layout *layout)
{
    uint8_t boot[BOOT_SECTOR];
    if (!disk_volume_read(volume, 0, boot, sizeof boot) || memcmp(boot + 3, "NTFS    ", 8) != 0)
        return false;
    uint64_t sector_size = bytes_get_u16(boot + 11);
    uint64_t sectors = bytes_get_u64(boot + 40);
    uint64_t per_cluster = coded_size(boot[13], 129, 1);
    if (!is_power_between(sector_size, 512, 4096) ||
        !is_power_between(per_cluster, 1, CLUSTER_SIZE_MAX / sector_size))
        return false;
    layout->cluster_size = sector_size * per_cluster;
    layout->record_size = coded_size(boot[64], 128, layout->cluster_size);
    layout->mft_cluster = bytes_get_u64(boot + 48);
    uint64_t clusters = volume->length / layout->cluster_size;
    return sectors >= per_cluster && sectors <= volume->length / sector_size &&
           is_power_between(layout->record_size, 1024, RECORD_SIZE_MAX) &&
           is_power_between(coded_size(boot[68], 128, layout->cluster_size), 1024, 65536) &&
           layout->mft_cluster < clusters && bytes_get_u64(boot + 56) < clusters;
}

/* The last two bytes of each 512 are kept elsewhere in the record, and a number of the write is in their
 * place. */
static bool undo_fixups(uint8_t *record, size_t size)
{
    size_t at = bytes_get_u16(record + 4);
    size_t count = bytes_get_u16(record + 6);
    if (count != size / FIXUP_STRIDE + 1 || at % 2 != 0 || at + count * 2 > FIXUP_STRIDE - 2)
        return false;
    for (size_t i = 1; i < count; i++) {
        uint8_t *end = record + i * FIXUP_STRIDE - 2;
        if (memcmp(end, record + at, 2) != 0)
            return false;
        memcpy(end, record + at + i * 2, 2);
    }
    return true;
}

/* The first cluster of the first run of an attribute's mapping pairs; UINT64_MAX when there is none. */
static uint64_t first_cluster(const uint8_t *attribute, size_t length)
{
    if (length < ATTRIBUTE_RUNS_MIN || attribute[8] != 1)
        return UINT64_MAX;
    size_t runs = bytes_get_u16(attribute + 32);
    if (runs >= length)
        return UINT64_MAX;
    size_t length_size = attribute[runs] & 15;
    size_t cluster_size = attribute[runs] >> 4;
    if (cluster_size == 0 || cluster_size > 8 || length - runs - 1 < length_size + cluster_size)
        return UINT64_MAX;
    uint64_t cluster = 0;
    for (size_t i = 0; i < cluster_size; i++)
        cluster |= (uint64_t)attribute[runs + 1 + length_size + i] << (i * 8);
    bool negative = attribute[runs + length_size + cluster_size] & 0x80;
    return negative ? UINT64_MAX : cluster;
}

/* An MFT whose map is in its first record, as it nearly always is. libntfs-3g 2022.10.3 does not handle all
 * errors in maps that go over several records, and forgets to free one that begins elsewhere. */
static bool mft_is_simple(struct disk_volume *volume, const struct ntfs_layout *layout)
{
    uint8_t record[RECORD_SIZE_MAX];
    size_t size = (size_t)layout->record_size;
    if (!disk_volume_read(volume, layout->mft_cluster * layout->cluster_size, record, size) ||
        memcmp(record, "FILE", 4) != 0 || !undo_fixups(record, size))
        return false;
    uint64_t found = UINT64_MAX;
    for (size_t at = bytes_get_u16(record + 20); at + 4 <= size;) {
        uint32_t type = bytes_get_u32(record + at);
        if (type == (uint32_t)ATTRIBUTE_END)
            break;
        if (type == ATTRIBUTE_LIST || size - at < ATTRIBUTE_MIN)
            return false;
        uint32_t length = bytes_get_u32(record + at + 4);
        if (length < ATTRIBUTE_MIN || length > size - at)
            return false;
        if (type == ATTRIBUTE_DATA && found == UINT64_MAX)
            found = first_cluster(record + at, length);
        at += length;
    }
    return found == layout->mft_cluster;
}

/* A file that is in use. libntfs-3g goes on with a record whose fixups could not be undone. */
static bool record_is_sound(const ntfs_volume *ntfs, const MFT_RECORD *record, u64 reference)
{
    u16 fixups = le16_to_cpu(record->usa_ofs);
    u16 fixups_count = le16_to_cpu(record->usa_count);
    return MREF(reference) >= FILE_first_user && MSEQNO(reference) == le16_to_cpu(record->sequence_number) &&
           (record->flags & MFT_RECORD_IN_USE) && !(record->flags & MFT_RECORD_IS_DIRECTORY) &&
           le16_to_cpu(record->link_count) > 0 && fixups_count == ntfs->mft_record_size / FIXUP_STRIDE + 1 &&
           fixups % 2 == 0 && fixups + fixups_count * 2 <= le16_to_cpu(record->attrs_offset);
}

/* A file in the root directory; NULL when there is none, or something else has its name. */
static ntfs_inode *open_file(ntfs_volume *ntfs, ntfs_inode *root, const char *name)
{
    ntfschar unicode[NAME_MAX_LENGTH];
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        unicode[i] = cpu_to_le16((u16)name[i]);
    u64 reference = ntfs_inode_lookup_by_name(root, unicode, (int)length);
    if (reference == (u64)-1)
        return NULL;
    ntfs_inode *file = ntfs_inode_open(ntfs, reference);
    if (!file)
        return NULL;
    if (record_is_sound(ntfs, file->mrec, reference))
        return file;
    (void)ntfs_inode_close(file); /* nothing was changed */
    return NULL;
}

/* A crash dump waits in the page file until Windows starts again. */
static bool holds_dump(ntfs_attr *data)
{
    char start[8];
    return ntfs_attr_pread(data, 0, sizeof start, start) != (s64)sizeof start ||
           memcmp(start, "PAGEDU", 6) == 0 || memcmp(start, "PAGE\0", 5) == 0;
}

/* The whole clusters within the file's length. False when its map is damaged. */
static bool add_runs(struct disk_pages *pages, struct disk_volume *volume, ntfs_attr *data)
{
    const ntfs_volume *ntfs = data->ni->vol;
    s64 clusters = data->data_size >> ntfs->cluster_size_bits;
    s64 next = 0;
    for (const runlist_element *run = data->rl; run->length > 0 && next < clusters; run++) {
        s64 count = run->length < clusters - next ? run->length : clusters - next;
        if (run->vcn != next || run->lcn < 0 || run->lcn >= ntfs->nr_clusters ||
            count > ntfs->nr_clusters - run->lcn)
            return false;
        if (!disk_pages_add(pages, volume, DISK_PAGES_PAGE_FILE,
                            (uint64_t)run->lcn << ntfs->cluster_size_bits,
                            (uint64_t)count << ntfs->cluster_size_bits))
            return false;
        next += count;
    }
    return true;
}

static void look_at_file(struct disk_pages *pages, struct disk_volume *volume, ntfs_volume *ntfs,
                         ntfs_inode *root, const char *name)
{
    ntfs_inode *file = open_file(ntfs, root, name);
    if (!file)
        return;
    ntfs_attr *data = ntfs_attr_open(file, AT_DATA, AT_UNNAMED, 0);
    if (data) {
        size_t before = pages->count;
        bool plain = NAttrNonResident(data) && !NAttrCompressed(data) && !NAttrEncrypted(data) &&
                     !NAttrSparse(data) && data->data_size > 0;
        if (!plain || holds_dump(data) || ntfs_attr_map_whole_runlist(data) != 0 ||
            !add_runs(pages, volume, data))
            pages->count = before;
        ntfs_attr_close(data);
    }
    (void)ntfs_inode_close(file); /* nothing was changed */
}

static void look_at_volume(struct disk_pages *pages, struct disk_volume *volume, ntfs_volume *ntfs)
{
    ntfs_inode *root = ntfs_inode_open(ntfs, FILE_root);
    if (!root)
        return;
    /* zero: not hibernated for sure */
    if (ntfs_volume_check_hiberfile(ntfs, 0) != 0)
        pages->asleep = true;
    look_at_file(pages, volume, ntfs, root, "pagefile.sys");
    look_at_file(pages, volume, ntfs, root, "swapfile.sys");
    (void)ntfs_inode_close(root); /* nothing was changed */
}

void disk_pages_find_ntfs(struct disk_pages *pages, struct disk_volume *volume)
{
    struct ntfs_source source = {volume, 0};
    struct ntfs_layout layout;
    if (!boot_sector_read(volume, &layout) || !mft_is_simple(volume, &layout))
        return;
    struct ntfs_device *device = ntfs_device_alloc("disk", 0, &source_operations, &source);
    if (!device)
        return;
    /* Less than a mount: the security descriptors and the rest of it are not needed. */
    ntfs_volume *ntfs = ntfs_volume_startup(device, NTFS_MNT_RDONLY | NTFS_MNT_FORENSIC);
    if (!ntfs) {
        (void)ntfs_device_free(device); /* it is closed */
        return;
    }
    look_at_volume(pages, volume, ntfs);
    (void)ntfs_umount(ntfs, TRUE); /* nothing was changed; frees the device, too */
}
