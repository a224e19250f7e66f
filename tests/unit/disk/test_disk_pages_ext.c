/* Swap files on ext2, ext3 and ext4. A swap file is full of 'x' behind its first page, and nothing else is.
 */
#include "base/memory.h"
#include "pages_fixture.h"

enum {
    SWAP_SIZE = 6 * MIB,
    SWAP_PAGES = SWAP_SIZE - 4096, /* what is to be found of it */
    IMAGE_SIZE = 32 * MIB,
};

/* The tree that becomes a file system; path is the swap file's. */
static void make_tree(const char *path)
{
    const char *tree = in_directory("tree");
    shell("rm -rf %s; mkdir -p %s$(dirname '%s') %s/etc; yes y | head -c 300000 >%s/other", tree, tree, path,
          tree, tree);
    shell("head -c %d /dev/zero | tr '\\0' x >'%s%s'; mkswap -q '%s%s' 2>/dev/null", SWAP_SIZE, tree, path,
          tree, path);
}

/* What memory_format made of debugfs' commands; it is freed. */
static void debugfs(const char *image, char *commands)
{
    FILE *script = fopen(in_directory("script"), "we");
    assert_non_null(script);
    assert_true(fputs(commands, script) >= 0);
    assert_int_equal(fclose(script), 0);
    free(commands);
    shell("debugfs -w -f %s %s >%s 2>&1", in_directory("script"), image, in_directory("debugfs.log"));
}

/* Its answer is the same each time. */
static const char *make_image(const char *options)
{
    static char image[128]; /* in_directory's answers do not last */
    snprintf(image, sizeof image, "%s", in_directory("image"));
    make_empty(image, IMAGE_SIZE);
    shell("mke2fs -q -F %s -d %s %s", options, in_directory("tree"), image);
    return image;
}

/* Every reported byte is an 'x'; returns their number. */
static uint64_t count_reported(const char *image)
{
    struct disk_pages *pages = find_pages(image);
    uint64_t sum = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < disk_pages_count(pages); i++) {
        const struct disk_pages_range *range = disk_pages_get(pages, i);
        assert_int_equal(range->kind, DISK_PAGES_SWAP_FILE);
        assert_true(range->offset >= end);
        unsigned char *bytes = malloc(range->length);
        assert_non_null(bytes);
        read_bytes(image, range->offset, bytes, range->length);
        uint64_t same = 0;
        while (same < range->length && bytes[same] == 'x')
            same++;
        assert_int_equal(same, range->length);
        free(bytes);
        sum += range->length;
        end = range->offset + range->length;
    }
    disk_pages_destroy(pages);
    return sum;
}

static void every_kind_of_file_system_is_read(void **state)
{
    (void)state;
    static const char *const options[] = {
        "-t ext2 -b 1024",
        "-t ext2 -b 4096",
        "-t ext3 -b 1024",
        "-t ext3 -b 4096 -I 128",
        "-t ext4 -b 1024",
        "-t ext4 -b 4096",
        "-t ext4 -b 2048 -O ^64bit,^metadata_csum",
        "-t ext4 -b 1024 -O meta_bg,^resize_inode",
        "-t ext4 -b 1024 -O ^flex_bg,^extent,^64bit",
        "-t ext4 -b 4096 -O bigalloc -C 65536",
        "-t ext4 -b 4096 -O ^has_journal,encrypt,ea_inode,mmp",
        "-t ext4 -b 65536 -O ^has_journal",
    };
    make_tree("/swapfile");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        assert_int_equal(count_reported(make_image(options[i])), SWAP_PAGES);
}

static void unknown_features_give_nothing(void **state)
{
    (void)state;
    static const char *const options[] = {
        "-t ext4 -O inline_data",
        "-t ext4 -O casefold",
        "-t ext4 -b 4096 -O ^has_journal,shared_blocks",
    };
    make_tree("/swapfile");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const char *image = make_image("-t ext4 -b 4096 -O ^has_journal");
        if (i < 2)
            image = make_image(options[i]);
        else
            debugfs(image, memory_format("ssv feature_ro_compat 0x446b\n"));
        assert_int_equal(count_reported(image), 0);
    }
}

static void usual_places_are_looked_at(void **state)
{
    (void)state;
    static const char *const paths[] = {"/swap.img", "/swap", "/swap/swapfile", "/var/swap", "/var/swapfile"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        make_tree(paths[i]);
        assert_int_equal(count_reported(make_image("-t ext4")), SWAP_PAGES);
    }
}

static void fstab_tells_of_others(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool found;
    } tables[] = {
        {"", false},
        {"/data/my\\040swap none swap sw 0 0\n", true},
        {"# swap\nUUID=1 / ext4 defaults 0 1\n\n  /data//./my\\040swap\tnone\tswap\tsw", true},
        {"#/data/my\\040swap none swap sw 0 0\n", false},
        {"/data/my\\040swap /mnt ext4 loop 0 0\n", false},
        {"/data/my\\040swap none\n", false},
        {"/data/../data/my\\040swap none swap sw 0 0\n", false},
        {"/data/my\\04", false},
        {"/data/none none swap sw 0 0\n/data/my\\040swap none swap", true},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        make_tree("/data/my swap");
        char path[200];
        snprintf(path, sizeof path, "%s/etc/fstab", in_directory("tree"));
        FILE *fstab = fopen(path, "we");
        assert_non_null(fstab);
        assert_true(fputs(tables[i].text, fstab) >= 0);
        assert_int_equal(fclose(fstab), 0);
        assert_int_equal(count_reported(make_image("-t ext4")), tables[i].found ? SWAP_PAGES : 0);
    }
}

static void second_name_of_a_file_does_not_matter(void **state)
{
    (void)state;
    make_tree("/swapfile");
    shell("ln %s/swapfile %s/swap.img", in_directory("tree"), in_directory("tree"));
    assert_int_equal(count_reported(make_image("-t ext4")), SWAP_PAGES);
    make_tree("/data/file");
    shell("ln -s data/file %s/swap.img", in_directory("tree"));
    assert_int_equal(count_reported(make_image("-t ext4")), 0);
}

static void preallocated_file_is_found(void **state)
{
    (void)state;
    make_tree("/data/file");
    const char *image = make_image("-t ext4 -b 4096");
    shell("head -c 4096 %s/data/file >%s", in_directory("tree"), in_directory("header"));
    debugfs(image, memory_format("write %s /swapfile\nsif /swapfile size %d\nfallocate /swapfile 1 %d\n",
                                 in_directory("header"), SWAP_SIZE, SWAP_SIZE / 4096 - 1));
    struct disk_pages *pages = find_pages(image);
    uint64_t sum = 0;
    for (size_t i = 0; i < disk_pages_count(pages); i++)
        sum += disk_pages_get(pages, i)->length;
    disk_pages_destroy(pages);
    assert_int_equal(sum, SWAP_PAGES);
}

static void suspended_system_is_noticed(void **state)
{
    (void)state;
    make_tree("/swapfile");
    shell("printf S1SUSPEND | dd of=%s/swapfile bs=1 seek=4086 conv=notrunc status=none",
          in_directory("tree"));
    expect_asleep(make_image("-t ext4"));
}

/* Where the swap file's inode lies. */
static unsigned inode_block(const char *image)
{
    char *output = NULL;
    struct error err;
    const char *const argv[] = {"debugfs", "-R", "imap /swapfile", image, NULL};
    assert_int_equal(os_process_run(argv, 4096, &output, &err), 0);
    const char *number = strstr(output, "located at block ");
    assert_non_null(number);
    unsigned block = (unsigned)strtoul(number + strlen("located at block "), NULL, 10);
    free(output);
    return block;
}

static void journal_tells_what_is_stale(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        const char *open; /* debugfs' options for its journal */
    } journals[] = {
        {"-t ext3 -b 1024", "jo"},
        {"-t ext3 -b 4096 -O ^64bit", "jo"},
        {"-t ext4 -b 1024", "jo"},
        {"-t ext4 -b 4096", "jo -c -v 2"},
        {"-t ext4 -b 1024 -O 64bit", "jo -c -v 3"},
    };
    make_tree("/swapfile");
    make_empty(in_directory("zeros"), 64 * KIB);
    for (size_t i = 0; i < sizeof journals / sizeof *journals; i++) {
        const char *image = make_image(journals[i].options);
        debugfs(image, memory_format("feature needs_recovery\n")); /* mounted, with an empty log */
        assert_int_equal(count_reported(image), SWAP_PAGES);
        debugfs(image, memory_format("%s\njw -b 50 %s\njc\n", journals[i].open, in_directory("zeros")));
        assert_int_equal(count_reported(image), SWAP_PAGES);
        unsigned block = inode_block(image);
        debugfs(image, memory_format("%s\njw -b 60-63,%u,70-75 %s\njc\n", journals[i].open, block,
                                     in_directory("zeros")));
        assert_int_equal(count_reported(image), 0);
        debugfs(image, memory_format("feature -needs_recovery\n")); /* as if it had been written back */
        assert_int_equal(count_reported(image), SWAP_PAGES);
    }
}

static void states_in_doubt_give_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        const char *commands;
    } states[] = {
        {"-t ext2", "ssv state 0\n"}, /* mounted, and nothing tells what is stale */
        {"-t ext4 -O ^has_journal", "ssv state 0\n"},
        {"-t ext4", "ssv state 3\n"}, /* errors were found */
        {"-t ext4", "feature needs_recovery\nssv journal_inum 12\n"},
        {"-t ext4", "feature needs_recovery\nssv journal_dev 2049\n"},
        {"-t ext4", "feature needs_recovery\nsif <8> mode 0040755\n"},
        {"-t ext4", "feature needs_recovery\nsif <8> size 0\n"},
    };
    make_tree("/swapfile");
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        const char *image = make_image(states[i].options);
        assert_int_equal(count_reported(image), SWAP_PAGES);
        debugfs(image, memory_format("%s", states[i].commands));
        assert_int_equal(count_reported(image), 0);
    }
}

static void hostile_inodes_give_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        const char *command; /* of debugfs' set_inode_field */
        bool rest;           /* the file's other blocks are still found */
    } changes[] = {
        {"-t ext4", "links_count 0", false},
        {"-t ext4", "dtime 1", false},
        {"-t ext4", "mode 0040755", false},
        {"-t ext4", "mode 0120777", false},
        {"-t ext4", "mode 0060600", false},
        {"-t ext4", "flags 0x80800", false},    /* encrypted */
        {"-t ext4", "flags 0x10080000", false}, /* inline data */
        {"-t ext4", "flags 0x84000", false},    /* its data are journaled */
        {"-t ext4", "size 4096", false},
        {"-t ext4", "size 1000000", false}, /* less than the header says */
        {"-t ext4", "block[0] 0", false},   /* the magic of its extents, and their number */
        {"-t ext4", "block[0] 0xfffff30a", false},
        {"-t ext4", "block[1] 0xffff0004", false}, /* a tree of 65535 levels */
        {"-t ext4", "block[3] 0xffffffff", false}, /* the extent's place in the file */
        {"-t ext4", "block[5] 0xfffffff0", false}, /* and on the disk */
        {"-t ext4", "block[5] 0", false},          /* the superblock */
        {"-t ext4", "block[4] 0xffff8000", false}, /* its length, and more of its place */
        {"-t ext2", "block[11] 4294967295", false},
        {"-t ext2", "block[5] 0x7fffffff", false},
        {"-t ext2", "block[5] 0", true}, /* a hole */
        {"-t ext2", "block[IND] 1", false},
        {"-t ext2", "block[IND] 0xffffffff", false},
        {"-t ext2", "block[DIND] 0xffffffff", false},
    };
    make_tree("/swapfile");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *image = make_image(changes[i].options);
        debugfs(image, memory_format("sif /swapfile %s\n", changes[i].command));
        struct disk_pages *pages = find_pages(image);
        assert_int_equal(disk_pages_count(pages) > 0, changes[i].rest);
        disk_pages_destroy(pages);
    }
}

static void hostile_superblocks_give_nothing(void **state)
{
    (void)state;
    static const struct {
        unsigned offset;
        uint32_t value;
    } changes[] = {
        {0, 0},           /* inodes */
        {4, UINT32_MAX},  /* blocks */
        {4, 0},           /**/
        {20, UINT32_MAX}, /* first data block */
        {24, 7},          /* block size */
        {24, UINT32_MAX}, /**/
        {32, 0},          /* blocks of a group */
        {32, 1},          /**/
        {32, 8},          /**/
        {40, 0},          /* inodes of a group */
        {40, UINT32_MAX}, /**/
        {56, 0},          /* magic */
        {76, UINT32_MAX}, /* revision */
        {96, UINT32_MAX}, /* features */
        {96, 0x8},        /* a journal's device */
        {88, 0},          /* size of an inode */
        {88, 0xffff},     /**/
    };
    make_tree("/swapfile");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *image = make_image("-t ext4 -b 1024 -O ^metadata_csum,^64bit");
        uint8_t value[4];
        bytes_put_u32(value, changes[i].value);
        write_bytes(image, 1024 + changes[i].offset, value, 4);
        assert_int_equal(count_reported(image), 0);
    }
}

static void truncated_file_system_gives_nothing(void **state)
{
    (void)state;
    make_tree("/swapfile");
    const char *image = make_image("-t ext4");
    assert_int_equal(count_reported(image), SWAP_PAGES);
    for (off_t size = IMAGE_SIZE - 1; size > 0; size /= 2) {
        assert_int_equal(truncate(image, size), 0);
        assert_int_equal(count_reported(image), 0);
    }
}

static void failing_disk_is_an_error(void **state)
{
    (void)state;
    struct error err;
    make_tree("/swapfile");
    for (off_t size = 128 * KIB; size < 2 * MIB; size += 512 * KIB) {
        const char *image = make_image("-t ext4 -b 1024");
        struct disk_reader *reader = disk_reader_open_raw(image, &err);
        assert_non_null(reader);
        assert_int_equal(truncate(image, size), 0);
        assert_null(disk_pages_find(reader, &err));
        assert_int_equal(err.code, ERROR_DISK_CHANGED);
        disk_reader_close(reader);
    }
}

static void partitions_may_have_either(void **state)
{
    (void)state;
    make_tree("/swapfile");
    make_image("-t ext4");
    const char *disk = in_directory("disk");
    make_empty(disk, 64 * MIB);
    shell("printf 'label:gpt\\n,40M,L\\n,8M,S\\n' | sfdisk -q --no-reread --no-tell-kernel %s", disk);
    place(disk, MIB, in_directory("image"));
    assert_int_equal(count_reported(disk), SWAP_PAGES);
    make_empty(in_directory("swap"), 8 * MIB);
    shell("mkswap -q %s 2>/dev/null", in_directory("swap"));
    place(disk, 41 * MIB, in_directory("swap"));
    struct disk_pages *pages = find_pages(disk);
    size_t count = disk_pages_count(pages);
    assert_true(count >= 2);
    assert_int_equal(disk_pages_get(pages, count - 1)->kind, DISK_PAGES_SWAP_PARTITION);
    assert_int_equal(disk_pages_get(pages, count - 2)->kind, DISK_PAGES_SWAP_FILE);
    disk_pages_destroy(pages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_file_system_is_read),
        cmocka_unit_test(unknown_features_give_nothing),
        cmocka_unit_test(usual_places_are_looked_at),
        cmocka_unit_test(fstab_tells_of_others),
        cmocka_unit_test(second_name_of_a_file_does_not_matter),
        cmocka_unit_test(preallocated_file_is_found),
        cmocka_unit_test(suspended_system_is_noticed),
        cmocka_unit_test(journal_tells_what_is_stale),
        cmocka_unit_test(states_in_doubt_give_nothing),
        cmocka_unit_test(hostile_inodes_give_nothing),
        cmocka_unit_test(hostile_superblocks_give_nothing),
        cmocka_unit_test(truncated_file_system_gives_nothing),
        cmocka_unit_test(failing_disk_is_an_error),
        cmocka_unit_test(partitions_may_have_either),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
