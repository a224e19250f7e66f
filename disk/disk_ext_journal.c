#include "base/memory.h"
#include "disk/disk_ext.h"
#include <stdlib.h>

enum {
    JOURNAL_MAGIC = (int)0xc03b3998u,
    HEADER_SIZE = 12,
    BLOCK_DESCRIPTOR = 1,
    BLOCK_COMMIT = 2,
    BLOCK_SUPER_V2 = 4,
    BLOCK_REVOKE = 5,
    INCOMPAT_64BIT = 2,
    INCOMPAT_CSUM_V2 = 8,
    INCOMPAT_CSUM_V3 = 16,
    INCOMPAT_KNOWN = 1 | INCOMPAT_64BIT | 4 | INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3, /* not: fast commits */
    TAG_SAME_UUID = 2,
    TAG_LAST = 8,
    UUID_SIZE = 16,
    PENDING_MAX = 4 * 1024 * 1024,
};

struct journal {
    struct disk_ext *ext;
    ext2_file_t file;
    uint8_t *block;
    uint32_t size; /* of a block */
    uint32_t first;
    uint32_t end;
    uint32_t features;
};

static uint16_t get_be16(const uint8_t *in)
{
    return (uint16_t)(in[0] << 8 | in[1]);
}

static uint32_t get_be32(const uint8_t *in)
{
    return (uint32_t)get_be16(in) << 16 | get_be16(in + 2);
}

static bool journal_read(struct journal *journal, uint32_t number)
{
    unsigned got = 0;
    return ext2fs_file_llseek(journal->file, (uint64_t)number * journal->size, EXT2_SEEK_SET, NULL) == 0 &&
           ext2fs_file_read(journal->file, journal->block, journal->size, &got) == 0 && got == journal->size;
}

static size_t tag_size(const struct journal *journal)
{
    if (journal->features & INCOMPAT_CSUM_V3)
        return 16;
    return 8 + (size_t)(journal->features & INCOMPAT_CSUM_V2 ? 2 : 0) +
           (size_t)(journal->features & INCOMPAT_64BIT ? 4 : 0);
}

static bool remember(struct disk_ext *ext, uint64_t block)
{
    if (ext->pending_count == PENDING_MAX)
        return false;
    if (ext->pending_count == ext->pending_capacity) {
        ext->pending_capacity = ext->pending_capacity ? ext->pending_capacity * 2 : 256;
        ext->pending = memory_resize(ext->pending, ext->pending_capacity, sizeof *ext->pending);
    }
    ext->pending[ext->pending_count++] = block;
    return true;
}

/* The blocks whose new versions follow this descriptor block. */
static bool read_tags(struct journal *journal, uint32_t *count)
{
    size_t size = tag_size(journal);
    size_t end = journal->size - (journal->features & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) ? 4 : 0);
    unsigned flags = 0;
    *count = 0;
    for (size_t at = HEADER_SIZE; at + size <= end && !(flags & TAG_LAST); at += size) {
        const uint8_t *tag = journal->block + at;
        uint64_t block = get_be32(tag);
        if (journal->features & INCOMPAT_64BIT)
            block |= (uint64_t)get_be32(tag + 8) << 32;
        if (!remember(journal->ext, block))
            return false;
        flags = get_be16(tag + 6);
        if (!(flags & TAG_SAME_UUID))
            at += UUID_SIZE;
        (*count)++;
    }
    return true;
}

/* From the oldest transaction that may not be written back to the last one. Whether it is complete does not
 * matter: to know too many blocks is safe. */
static bool walk_log(struct journal *journal, uint32_t start, uint32_t sequence)
{
    uint32_t length = journal->end - journal->first;
    uint32_t at = start;
    for (uint32_t walked = 0; walked < length;) {
        if (!journal_read(journal, at))
            return false;
        if (get_be32(journal->block) != (uint32_t)JOURNAL_MAGIC || get_be32(journal->block + 8) != sequence)
            return true;
        uint32_t step = 1;
        switch (get_be32(journal->block + 4)) {
        case BLOCK_DESCRIPTOR:
            if (!read_tags(journal, &step))
                return false;
            step++;
            break;
        case BLOCK_COMMIT:
            sequence++;
            break;
        case BLOCK_REVOKE:
            break;
        default:
            return true;
        }
        if (step > length)
            return false;
        walked += step;
        at = journal->first + (at - journal->first + step) % length;
    }
    return true;
}

static bool read_log(struct journal *journal)
{
    if (!journal_read(journal, 0))
        return false;
    const uint8_t *super = journal->block;
    uint32_t start = get_be32(super + 28);
    uint32_t sequence = get_be32(super + 24);
    journal->end = get_be32(super + 16);
    journal->first = get_be32(super + 20);
    journal->features = get_be32(super + 40);
    if (get_be32(super) != (uint32_t)JOURNAL_MAGIC || get_be32(super + 4) != BLOCK_SUPER_V2 ||
        get_be32(super + 12) != journal->size || (journal->features & ~(uint32_t)INCOMPAT_KNOWN))
        return false;
    if (start == 0) /* all is written back */
        return true;
    return journal->first > 0 && journal->first <= start && start < journal->end &&
           walk_log(journal, start, sequence);
}

bool disk_ext_read_journal(struct disk_ext *ext)
{
    const struct ext2_super_block *super = ext->fs->super;
    struct ext2_inode inode;
    struct journal journal = {.ext = ext, .size = ext->fs->blocksize};
    if (super->s_journal_inum != EXT2_JOURNAL_INO || super->s_journal_dev != 0 ||
        ext2fs_read_inode(ext->fs, EXT2_JOURNAL_INO, &inode) != 0 || !LINUX_S_ISREG(inode.i_mode) ||
        ext2fs_file_open2(ext->fs, EXT2_JOURNAL_INO, &inode, 0, &journal.file) != 0)
        return false;
    journal.block = memory_alloc(journal.size);
    bool understood = read_log(&journal);
    free(journal.block);
    (void)ext2fs_file_close(journal.file); /* nothing to flush */
    return understood;
}
