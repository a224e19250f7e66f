#include "disk/disk_ext.h"
#include "base/bytes.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum {
    SUPERBLOCK = 1024, /* its offset and its size */
    DESCRIPTORS_MAX = 64 * 1024 * 1024,
    NAME_SIZE = 256,
    INCOMPAT_KNOWN = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_RECOVER |
                     EXT2_FEATURE_INCOMPAT_META_BG | EXT3_FEATURE_INCOMPAT_EXTENTS |
                     EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_MMP | EXT4_FEATURE_INCOMPAT_FLEX_BG |
                     EXT4_FEATURE_INCOMPAT_EA_INODE | EXT4_FEATURE_INCOMPAT_CSUM_SEED |
                     EXT4_FEATURE_INCOMPAT_LARGEDIR | EXT4_FEATURE_INCOMPAT_ENCRYPT,
    /* The blocks of one file may be another's, too, with the others. */
    RO_COMPAT_KNOWN = EXT2_LIB_FEATURE_RO_COMPAT_SUPP & ~EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS,
    /* What does not change what a file's blocks mean. */
    FILE_FLAGS_KNOWN = EXT2_SECRM_FL | EXT2_UNRM_FL | EXT2_SYNC_FL | EXT2_IMMUTABLE_FL | EXT2_APPEND_FL |
                       EXT2_NODUMP_FL | EXT2_NOATIME_FL | EXT4_HUGE_FILE_FL | EXT4_EXTENTS_FL | FS_NOCOW_FL |
                       EXT4_PROJINHERIT_FL,
};

/* libext2fs opens by name; what it opens is in the thread that calls it. */
static _Thread_local struct disk_ext *opening;

static errcode_t channel_open(const char *name, int flags, io_channel *result);

static errcode_t channel_close(io_channel channel)
{
    if (--channel->refcount > 0)
        return 0;
    ext2fs_free_mem(&channel->name);
    ext2fs_free_mem(&channel);
    return 0;
}

static errcode_t channel_set_block_size(io_channel channel, int block_size)
{
    channel->block_size = block_size;
    return 0;
}

static int compare_blocks(const void *left, const void *right)
{
    const uint64_t *a = left;
    const uint64_t *b = right;
    return (*a > *b) - (*a < *b);
}

static bool is_pending(const struct disk_ext *ext, uint64_t block, uint64_t count)
{
    for (uint64_t i = 0; ext->pending_count > 0 && i < count; i++) {
        uint64_t key = block + i;
        if (bsearch(&key, ext->pending, ext->pending_count, sizeof key, compare_blocks))
            return true;
    }
    return false;
}

/* A negative count is one of bytes. */
static errcode_t channel_read_block_64(io_channel channel, unsigned long long block, int count, void *data)
{
    struct disk_ext *ext = channel->private_data;
    uint64_t block_size = (uint64_t)channel->block_size;
    uint64_t length = count < 0 ? 0 - (uint64_t)count : (uint64_t)count * block_size;
    uint64_t offset = 0;
    if (!bytes_multiply_u64(block, block_size, &offset) ||
        !disk_volume_read(ext->volume, offset, data, (size_t)length))
        return EXT2_ET_SHORT_READ;
    if (is_pending(ext, block, (length + block_size - 1) / block_size))
        ext->stale = true;
    return 0;
}

static errcode_t channel_read_block(io_channel channel, unsigned long block, int count, void *data)
{
    return channel_read_block_64(channel, block, count, data);
}

static errcode_t channel_write_block_64(io_channel channel, unsigned long long block, int count,
                                        const void *data)
{
    (void)channel, (void)block, (void)count, (void)data;
    return EXT2_ET_RO_FILSYS;
}

static errcode_t channel_write_block(io_channel channel, unsigned long block, int count, const void *data)
{
    return channel_write_block_64(channel, block, count, data);
}

static errcode_t channel_flush(io_channel channel)
{
    (void)channel;
    return 0;
}

static struct struct_io_manager manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "Holdfast disk",
    .open = channel_open,
    .close = channel_close,
    .set_blksize = channel_set_block_size,
    .read_blk = channel_read_block,
    .write_blk = channel_write_block,
    .flush = channel_flush,
    .read_blk64 = channel_read_block_64,
    .write_blk64 = channel_write_block_64,
};

static errcode_t channel_open(const char *name, int flags, io_channel *result)
{
    (void)flags;
    io_channel channel = NULL;
    errcode_t failure = ext2fs_get_memzero(sizeof *channel, &channel);
    if (failure)
        return failure;
    size_t name_size = strlen(name) + 1;
    failure = ext2fs_get_mem(name_size, &channel->name);
    if (failure) {
        ext2fs_free_mem(&channel);
        return failure;
    }
    memcpy(channel->name, name, name_size);
    channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    channel->manager = &manager;
    channel->block_size = SUPERBLOCK;
    channel->refcount = 1;
    channel->private_data = opening;
    *result = channel;
    return 0;
}

/* What libext2fs does not bound: it would allocate as much as the superblock says. */
static bool superblock_is_sane(struct disk_volume *volume)
{
    uint8_t bytes[SUPERBLOCK];
    if (!disk_volume_read(volume, SUPERBLOCK, bytes, sizeof bytes) || bytes_get_u16(bytes + 56) != 0xef53)
        return false;
    uint64_t blocks = bytes_get_u32(bytes + 4);
    uint32_t log_block_size = bytes_get_u32(bytes + 24);
    uint32_t blocks_per_group = bytes_get_u32(bytes + 32);
    uint32_t incompat = bytes_get_u32(bytes + 96);
    uint64_t descriptor_size = 32;
    if (incompat & EXT4_FEATURE_INCOMPAT_64BIT) {
        blocks |= (uint64_t)bytes_get_u32(bytes + 336) << 32;
        descriptor_size = bytes_get_u16(bytes + 254);
    }
    return log_block_size <= 6 && blocks <= volume->length >> (10 + log_block_size) && blocks_per_group > 0 &&
           (blocks / blocks_per_group + 1) * descriptor_size <= DESCRIPTORS_MAX;
}

/* Frozen and unmounted file systems need no recovery. */
static bool state_is_known(struct disk_ext *ext)
{
    const struct ext2_super_block *super = ext->fs->super;
    if ((super->s_feature_incompat & ~(uint32_t)INCOMPAT_KNOWN) ||
        (super->s_feature_ro_compat & ~(uint32_t)RO_COMPAT_KNOWN) || (super->s_state & EXT2_ERROR_FS))
        return false;
    if (!(super->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL))
        return super->s_state & EXT2_VALID_FS;
    if (super->s_feature_incompat & EXT3_FEATURE_INCOMPAT_RECOVER)
        return disk_ext_read_journal(ext);
    return true;
}

bool disk_ext_open(struct disk_ext *ext, struct disk_volume *volume)
{
    *ext = (struct disk_ext){.volume = volume};
    if (!superblock_is_sane(volume))
        return false;
    opening = ext;
    errcode_t failure =
        ext2fs_open2("disk", NULL, EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP, 0, 0, &manager, &ext->fs);
    opening = NULL;
    if (failure) {
        ext->fs = NULL;
        return false;
    }
    if (state_is_known(ext)) {
        if (ext->pending_count > 0)
            qsort(ext->pending, ext->pending_count, sizeof *ext->pending, compare_blocks);
        return true;
    }
    disk_ext_close(ext);
    return false;
}

void disk_ext_close(struct disk_ext *ext)
{
    if (ext->fs)
        (void)ext2fs_close_free(&ext->fs); /* nothing to flush */
    free(ext->pending);
    *ext = (struct disk_ext){0};
}

/* libext2fs' own walk follows symbolic links and trusts their length. */
bool disk_ext_lookup(struct disk_ext *ext, const char *path, ext2_ino_t *number)
{
    *number = EXT2_ROOT_INO;
    while (*path) {
        size_t length = strcspn(path, "/");
        bool up = length == 2 && memcmp(path, "..", 2) == 0;
        if (length >= NAME_SIZE || up)
            return false;
        if (length > 0 && ext2fs_lookup(ext->fs, *number, path, (int)length, NULL, number) != 0)
            return false;
        path += length;
        path += strspn(path, "/");
    }
    return true;
}

bool disk_ext_read_file_inode(struct disk_ext *ext, ext2_ino_t number, struct ext2_inode *inode)
{
    if (ext2fs_flush_icache(ext->fs) != 0 || ext2fs_read_inode(ext->fs, number, inode) != 0)
        return false;
    return number >= EXT2_FIRST_INODE(ext->fs->super) && LINUX_S_ISREG(inode->i_mode) &&
           inode->i_links_count > 0 && inode->i_dtime == 0 && !(inode->i_flags & ~(uint32_t)FILE_FLAGS_KNOWN);
}

bool disk_ext_read_file(struct disk_ext *ext, ext2_ino_t number, struct ext2_inode *inode, void *out,
                        size_t capacity, size_t *length)
{
    ext2_file_t file = NULL;
    unsigned got = 0;
    if (ext2fs_file_open2(ext->fs, number, inode, 0, &file) != 0)
        return false;
    errcode_t failure = ext2fs_file_read(file, out, (unsigned)capacity, &got);
    (void)ext2fs_file_close(file); /* nothing to flush */
    *length = got;
    return failure == 0;
}

/* A walk over a file's map, in blocks. */
struct walk {
    struct disk_ext *ext;
    disk_ext_run_fn *run;
    void *cookie;
    uint64_t next; /* logical blocks before this one have been seen */
    bool failed;
};

static bool walk_run(struct walk *walk, uint64_t logical, uint64_t physical, uint64_t count)
{
    ext2_filsys fs = walk->ext->fs;
    uint64_t blocks = ext2fs_blocks_count(fs->super);
    if (count == 0 || logical < walk->next || physical <= fs->super->s_first_data_block ||
        physical >= blocks || count > blocks - physical)
        return false;
    walk->next = logical + count;
    return walk->run(walk->cookie, logical * fs->blocksize, physical * fs->blocksize, count * fs->blocksize);
}

static bool walk_extents(struct walk *walk, ext2_ino_t number, struct ext2_inode *inode)
{
    ext2_extent_handle_t handle = NULL;
    struct ext2fs_extent extent;
    if (ext2fs_extent_open2(walk->ext->fs, number, inode, &handle) != 0)
        return false;
    bool sound = true;
    errcode_t failure = ext2fs_extent_get(handle, EXT2_EXTENT_ROOT, &extent);
    while (!failure && sound) {
        if (extent.e_flags & EXT2_EXTENT_FLAGS_LEAF)
            sound = walk_run(walk, extent.e_lblk, extent.e_pblk, extent.e_len);
        failure = ext2fs_extent_get(handle, EXT2_EXTENT_NEXT, &extent);
    }
    ext2fs_extent_free(handle);
    return sound && failure == EXT2_ET_EXTENT_NO_NEXT;
}

static int walk_block(ext2_filsys fs, blk64_t *block, e2_blkcnt_t logical, blk64_t reference,
                      int reference_offset, void *cookie)
{
    (void)fs, (void)reference, (void)reference_offset;
    struct walk *walk = cookie;
    walk->failed = logical < 0 || !walk_run(walk, (uint64_t)logical, *block, 1);
    return walk->failed ? BLOCK_ABORT : 0;
}

bool disk_ext_walk_file(struct disk_ext *ext, ext2_ino_t number, struct ext2_inode *inode,
                        disk_ext_run_fn *run, void *cookie)
{
    struct walk walk = {ext, run, cookie, 0, false};
    if (inode->i_flags & EXT4_EXTENTS_FL)
        return walk_extents(&walk, number, inode);
    errcode_t failure = ext2fs_block_iterate3(ext->fs, number, BLOCK_FLAG_READ_ONLY | BLOCK_FLAG_DATA_ONLY,
                                              NULL, walk_block, &walk);
    return failure == 0 && !walk.failed;
}
