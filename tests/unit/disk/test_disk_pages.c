/* Swap partitions: tables of partitions, headers of swap areas, sound and hostile ones. */
#include "pages_fixture.h"
#include <zlib.h>

static const char *make_swap(const char *name, uint64_t size, unsigned page_size)
{
    const char *path = in_directory(name);
    make_empty(path, size);
    shell("mkswap -q -p %u %s 2>/dev/null", page_size, path);
    return path;
}

/* The script is what sfdisk reads; the disk is of 64 MiB. */
static const char *make_disk(const char *name, const char *script)
{
    const char *path = in_directory(name);
    make_empty(path, 64 * MIB);
    shell("printf '%s' | sfdisk -q --no-reread --no-tell-kernel %s", script, path);
    return path;
}

static void expect_swap(const char *path, uint64_t offset, uint64_t length)
{
    const struct disk_pages_range expected = {offset, length, DISK_PAGES_SWAP_PARTITION};
    expect_ranges(path, &expected, 1);
}

static void every_page_size_is_known(void **state)
{
    (void)state;
    for (unsigned page = 4 * KIB; page <= 64 * KIB; page *= 2)
        expect_swap(make_swap("whole", 8 * MIB, page), page, 8 * MIB - page);
}

static void no_more_than_the_header_says_is_reported(void **state)
{
    (void)state;
    const char *path = make_swap("short", 8 * MIB, 4096);
    uint8_t last_page[4];
    bytes_put_u32(last_page, 99);
    write_bytes(path, 1028, last_page, 4);
    expect_swap(path, 4096, 99 * 4096);
}

static void label_and_resume_notes_do_not_matter(void **state)
{
    (void)state;
    const char *path = in_directory("labelled");
    make_empty(path, MIB);
    shell("mkswap -q -L sixteen-letters- %s 2>/dev/null", path);
    write_bytes(path, 4096 - 40, "SWAPSPACE2", 10); /* where the kernel keeps the signature while asleep */
    expect_swap(path, 4096, MIB - 4096);
}

static void damaged_headers_give_nothing(void **state)
{
    (void)state;
    static const struct {
        unsigned offset;
        uint32_t value;
    } damages[] = {
        {0, 0xeb},              /* a boot loader, or another file system's first sector */
        {512, 0x4542414c},      /* "LABELONE" of LVM */
        {1024, 2},              /* version */
        {1028, 0},              /* last page */
        {1028, 8 * MIB / 4096}, /* behind the end */
        {1028, UINT32_MAX},     /**/
        {1032, 1},              /* bad pages */
        {1068, 1},              /* padding */
        {1080, 0xef53},         /* ext's magic */
        {3000, 7},              /**/
        {4092, 0},              /* signature */
        {4096, 0xa92b4efc},     /* MD 1.2 */
        {65600, 0x5248425f},    /* half of Btrfs' magic */
    };
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const char *path = make_swap("damaged", 8 * MIB, 4096);
        uint8_t value[4];
        bytes_put_u32(value, damages[i].value);
        write_bytes(path, damages[i].offset, value, 4);
        if (damages[i].offset == 65600) {
            expect_swap(path, 4096, 8 * MIB - 4096);
            write_bytes(path, damages[i].offset, "_BHRfS_M", 8);
        }
        expect_nothing(path);
    }
}

static void suspended_system_is_left_alone(void **state)
{
    (void)state;
    static const char *const signatures[] = {"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"};
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const char *path = make_swap("asleep", 8 * MIB, 4096);
        write_bytes(path, 4086, signatures[i], 10);
        expect_asleep(path);
    }
}

static void sleep_in_one_partition_covers_the_disk(void **state)
{
    (void)state;
    const char *path = make_disk("two", "label:gpt\n,8M,S\n,8M,S\n");
    const char *swap = make_swap("swap", 8 * MIB, 4096);
    place(path, MIB, swap);
    write_bytes(swap, 4086, "S1SUSPEND", 10);
    place(path, 9 * MIB, swap);
    expect_asleep(path);
}

static void partitions_of_every_table_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        uint64_t offset;
    } tables[] = {
        {"label:dos\n,8M,L\n,8M,S\n", 9 * MIB},
        {"label:dos\nstart=1M,size=8M,type=83\n", MIB}, /* the type is not asked */
        {"label:dos\n,8M,L\n,,E\n,8M,L\n,8M,S\n,8M,L\n", 19 * MIB},
        {"label:gpt\n,8M,L\n,8M,S\n", 9 * MIB},
        {"label:gpt\ntable-length:32\n,8M,L\n,8M,S\n", 9 * MIB},
    };
    make_swap("swap", 8 * MIB, 4096);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const char *path = make_disk("disk", tables[i].script);
        expect_nothing(path);
        place(path, tables[i].offset, in_directory("swap"));
        expect_swap(path, tables[i].offset + 4096, 8 * MIB - 4096);
    }
}

static void several_areas_come_in_order(void **state)
{
    (void)state;
    /* the table is not in the order of the disk */
    const char *path =
        make_disk("several", "label:dos\nstart=40M,size=8M\nstart=20M,size=8M\nstart=1M,size=8M\n");
    const char *swap = make_swap("swap", 8 * MIB, 4096);
    static const uint64_t starts[] = {1 * MIB, 20 * MIB, 40 * MIB};
    struct disk_pages_range expected[3];
    for (size_t i = 0; i < 3; i++) {
        place(path, starts[i], swap);
        expected[i] = (struct disk_pages_range){starts[i] + 4096, 8 * MIB - 4096, DISK_PAGES_SWAP_PARTITION};
    }
    expect_ranges(path, expected, 3);
}

static void put_mbr_entry(const char *path, uint64_t sector, unsigned index, uint8_t type, uint32_t start,
                          uint32_t count)
{
    uint8_t entry[16] = {0, 0, 0, 0, type};
    bytes_put_u32(entry + 8, start);
    bytes_put_u32(entry + 12, count);
    write_bytes(path, sector * 512 + 446 + index * 16, entry, sizeof entry);
    write_bytes(path, sector * 512 + 510, "\x55\xaa", 2);
}

/* A swap area at 9 MiB that the table under test points to. */
static const char *make_bare(const char *name)
{
    const char *path = in_directory(name);
    const char *swap = make_swap("swap", 8 * MIB, 4096);
    make_empty(path, 64 * MIB);
    place(path, 9 * MIB, swap);
    return path;
}

enum { SWAP_START = 9 * MIB / 512, SWAP_SECTORS = 8 * MIB / 512 };

static void contradicting_mbr_gives_nothing(void **state)
{
    (void)state;
    static const struct {
        uint32_t start;
        uint32_t count;
    } others[] = {
        {SWAP_START + 100, 100},                 /* within the swap partition */
        {SWAP_START - 1, 2},                     /**/
        {1, UINT32_MAX},                         /* around it */
        {SWAP_START + SWAP_SECTORS, UINT32_MAX}, /* past the end of the disk */
        {UINT32_MAX, UINT32_MAX},                /**/
        {0, 100},                                /* the table itself */
        {SWAP_START, SWAP_SECTORS},              /* the same once more */
        {64 * MIB / 512 - 1, 2},                 /**/
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *path = make_bare("contradicting");
        put_mbr_entry(path, 0, 0, 0x82, SWAP_START, SWAP_SECTORS);
        expect_swap(path, 9 * MIB + 4096, 8 * MIB - 4096);
        put_mbr_entry(path, 0, 1, 0x83, others[i].start, others[i].count);
        expect_nothing(path);
    }
}

static void boot_sector_is_no_table(void **state)
{
    (void)state;
    const char *path = make_bare("boot");
    put_mbr_entry(path, 0, 0, 0x82, SWAP_START, SWAP_SECTORS);
    write_bytes(path, 3, "NTFS    ", 8);
    expect_nothing(path);
    write_bytes(path, 3, "FAT32   ", 8);
    write_bytes(path, 446 + 32, "text", 4);
    expect_nothing(path);
}

enum { EXTENDED = 2048, EXTENDED_SECTORS = 100000 };

static void broken_chains_give_nothing(void **state)
{
    (void)state;
    static const struct {
        uint32_t link; /* of the second EBR, relative to the first */
        uint32_t start;
        uint32_t count;
    } chains[] = {
        {0, SWAP_START - EXTENDED - 100, SWAP_SECTORS},                /* back to the first */
        {100, SWAP_START - EXTENDED - 100, SWAP_SECTORS},              /* to itself */
        {EXTENDED_SECTORS, SWAP_START - EXTENDED - 100, SWAP_SECTORS}, /* out of the extended partition */
        {UINT32_MAX, SWAP_START - EXTENDED - 100, SWAP_SECTORS},       /**/
        {200, SWAP_START - EXTENDED - 100, SWAP_SECTORS},              /* to no EBR */
        {300, SWAP_START - EXTENDED - 100, UINT32_MAX},                /* a length that overflows */
        {300, UINT32_MAX, UINT32_MAX},                                 /**/
        {300, 0, SWAP_SECTORS},                                        /* on its own EBR */
    };
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        const char *path = make_bare("chain");
        put_mbr_entry(path, 0, 0, 0x05, EXTENDED, EXTENDED_SECTORS);
        put_mbr_entry(path, EXTENDED, 0, 0x83, 10, 20);
        put_mbr_entry(path, EXTENDED, 1, 0x05, 100, 1000);
        put_mbr_entry(path, EXTENDED + 100, 0, 0x82, SWAP_START - EXTENDED - 100, SWAP_SECTORS);
        expect_swap(path, 9 * MIB + 4096, 8 * MIB - 4096);
        put_mbr_entry(path, EXTENDED + 300, 0, 0x83, 10, 20);
        put_mbr_entry(path, EXTENDED + 100, 0, 0x82, chains[i].start, chains[i].count);
        put_mbr_entry(path, EXTENDED + 100, 1, 0x05, chains[i].link, 1000);
        expect_nothing(path);
    }
}

static void long_chain_ends(void **state)
{
    (void)state;
    const char *path = make_bare("long");
    put_mbr_entry(path, 0, 0, 0x05, EXTENDED, EXTENDED_SECTORS);
    put_mbr_entry(path, EXTENDED, 0, 0x82, SWAP_START - EXTENDED, SWAP_SECTORS);
    for (uint32_t i = 0; i < 99; i++)
        put_mbr_entry(path, EXTENDED + i, 1, 0x05, i + 1, 1);
    put_mbr_entry(path, EXTENDED + 99, 1, 0x05, 0, 0);
    expect_swap(path, 9 * MIB + 4096, 8 * MIB - 4096);
    put_mbr_entry(path, EXTENDED + 99, 1, 0x05, 100, 1);
    put_mbr_entry(path, EXTENDED + 100, 1, 0x05, 0, 0);
    expect_nothing(path);
}

/* One change in header or entries, with checksums that are right again. */
static void change_gpt(const char *path, uint64_t offset, const void *bytes, size_t length)
{
    static uint8_t entries[128 * 128];
    uint8_t header[92];
    write_bytes(path, offset, bytes, length);
    read_bytes(path, 1024, entries, sizeof entries);
    read_bytes(path, 512, header, sizeof header);
    bytes_put_u32(header + 88, (uint32_t)crc32(0, entries, sizeof entries));
    bytes_put_u32(header + 16, 0);
    bytes_put_u32(header + 16, (uint32_t)crc32(0, header, sizeof header));
    write_bytes(path, 512, header, sizeof header);
}

static const char *make_gpt(const char *name)
{
    const char *path = make_disk(name, "label:gpt\n,8M,L\n,8M,S\n");
    place(path, 9 * MIB, make_swap("swap", 8 * MIB, 4096));
    return path;
}

/* sfdisk makes no such table in a file. */
static void gpt_of_large_sectors_is_found(void **state)
{
    (void)state;
    const char *path = make_gpt("large");
    static uint8_t entries[128 * 128];
    uint8_t header[92];
    read_bytes(path, 512, header, sizeof header);
    read_bytes(path, 1024, entries, sizeof entries);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *entry = entries + (size_t)i * 128;
        bytes_put_u64(entry + 32, bytes_get_u64(entry + 32) / 8);
        bytes_put_u64(entry + 40, (bytes_get_u64(entry + 40) + 1) / 8 - 1);
    }
    bytes_put_u64(header + 40, 6);
    bytes_put_u64(header + 48, 64 * MIB / 4096 - 6);
    bytes_put_u32(header + 88, (uint32_t)crc32(0, entries, sizeof entries));
    bytes_put_u32(header + 16, 0);
    bytes_put_u32(header + 16, (uint32_t)crc32(0, header, sizeof header));
    static const uint8_t zeros[512];
    write_bytes(path, 512, zeros, sizeof zeros);
    write_bytes(path, 4096, header, sizeof header);
    write_bytes(path, 8192, entries, sizeof entries);
    expect_swap(path, 9 * MIB + 4096, 8 * MIB - 4096);
}

static void hostile_gpt_gives_nothing(void **state)
{
    (void)state;
    static const struct {
        uint64_t offset;
        uint64_t value;
        unsigned length;
    } changes[] = {
        {512, 0, 8},                        /* signature */
        {512 + 12, 91, 4},                  /* its size */
        {512 + 12, UINT32_MAX, 4},          /**/
        {512 + 24, 2, 8},                   /* its own place */
        {512 + 48, UINT64_MAX, 8},          /* last usable sector */
        {512 + 48, 64 * MIB / 512, 8},      /**/
        {512 + 72, UINT64_MAX, 8},          /* where the entries are */
        {512 + 72, 64 * MIB / 512 - 1, 8},  /**/
        {512 + 80, 0, 4},                   /* their number */
        {512 + 80, UINT32_MAX, 4},          /**/
        {512 + 84, 0, 4},                   /* their size */
        {512 + 84, 127, 4},                 /**/
        {512 + 84, UINT32_MAX, 4},          /**/
        {1024 + 32, 0, 8},                  /* the first partition's beginning */
        {1024 + 32, 9 * MIB / 512 + 1, 8},  /**/
        {1024 + 40, UINT64_MAX, 8},         /* and end */
        {1024 + 40, 9 * MIB / 512, 8},      /* in the second */
        {1024 + 40, 0, 8},                  /**/
        {1024 + 128 + 40, UINT64_MAX, 8},   /* the swap partition's end */
        {1024 + 128 + 32, UINT64_MAX, 8},   /**/
        {1024 + 128 + 40, 9 * MIB / 512, 8} /* too short for its header */
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *path = make_gpt("hostile");
        uint8_t value[8];
        bytes_put_u64(value, changes[i].value);
        change_gpt(path, 2048, "\0", 1);
        expect_swap(path, 9 * MIB + 4096, 8 * MIB - 4096);
        change_gpt(path, changes[i].offset, value, changes[i].length);
        expect_nothing(path);
    }
}

static void wrong_gpt_checksums_give_nothing(void **state)
{
    (void)state;
    static const unsigned offsets[] = {512 + 56, 1024 + 56, 1024 + 127 * 128};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        const char *path = make_gpt("checksum");
        expect_swap(path, 9 * MIB + 4096, 8 * MIB - 4096);
        write_bytes(path, offsets[i], "!", 1);
        expect_nothing(path);
    }
}

static void short_disks_give_nothing(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 511, 512, 4095, 4096, 4097, 8191};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *path = make_swap("short", 8 * MIB, 4096);
        assert_int_equal(truncate(path, (off_t)sizes[i]), 0);
        expect_nothing(path);
        path = make_gpt("short");
        assert_int_equal(truncate(path, (off_t)sizes[i]), 0);
        expect_nothing(path);
    }
    const char *path = make_gpt("cut");
    assert_int_equal(truncate(path, 16 * MIB), 0);
    expect_nothing(path);
}

static void failing_disk_is_an_error(void **state)
{
    (void)state;
    struct error err;
    const char *path = make_gpt("failing");
    static const off_t sizes[] = {0, 600, MIB, 9 * MIB + 60000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(truncate(path, 64 * MIB), 0);
        path = make_gpt("failing");
        struct disk_reader *reader = disk_reader_open_raw(path, &err);
        assert_non_null(reader);
        assert_int_equal(truncate(path, sizes[i]), 0);
        assert_null(disk_pages_find(reader, &err));
        assert_int_equal(err.code, ERROR_DISK_CHANGED);
        disk_reader_close(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_size_is_known),
        cmocka_unit_test(no_more_than_the_header_says_is_reported),
        cmocka_unit_test(label_and_resume_notes_do_not_matter),
        cmocka_unit_test(damaged_headers_give_nothing),
        cmocka_unit_test(suspended_system_is_left_alone),
        cmocka_unit_test(sleep_in_one_partition_covers_the_disk),
        cmocka_unit_test(partitions_of_every_table_are_found),
        cmocka_unit_test(several_areas_come_in_order),
        cmocka_unit_test(contradicting_mbr_gives_nothing),
        cmocka_unit_test(boot_sector_is_no_table),
        cmocka_unit_test(broken_chains_give_nothing),
        cmocka_unit_test(long_chain_ends),
        cmocka_unit_test(gpt_of_large_sectors_is_found),
        cmocka_unit_test(hostile_gpt_gives_nothing),
        cmocka_unit_test(wrong_gpt_checksums_give_nothing),
        cmocka_unit_test(short_disks_give_nothing),
        cmocka_unit_test(failing_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
