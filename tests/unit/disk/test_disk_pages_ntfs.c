/* Page files on NTFS. A page file is full of 'x', and nothing else is. */
#include "pages_fixture.h"

enum {
    PAGE_FILE_SIZE = 6 * MIB,
    IMAGE_SIZE = 32 * MIB,
};

/* A fresh volume; its answer is the same each time. */
static const char *make_image(const char *options)
{
    static char image[128];
    snprintf(image, sizeof image, "%s", in_directory("image"));
    make_empty(image, IMAGE_SIZE);
    shell("mkntfs -q -Q -F %s %s >%s 2>&1", options, image, in_directory("mkntfs.log"));
    return image;
}

/* length bytes of `fill` become a file of the volume. */
static void add_file(const char *image, const char *name, const char *fill, unsigned length)
{
    const char *content = in_directory("content");
    shell("yes '%s' | tr -d '\\n' | head -c %u >%s", fill, length, content);
    shell("ntfscp -q -f %s %s %s >%s 2>&1", image, content, name, in_directory("ntfscp.log"));
}

static const char *make_with_page_file(const char *options)
{
    const char *image = make_image(options);
    add_file(image, "other", "y", 300000);
    add_file(image, "pagefile.sys", "x", PAGE_FILE_SIZE);
    return image;
}

/* Every reported byte is an 'x'; returns their number. */
static uint64_t count_reported(const char *image)
{
    struct disk_pages *pages = find_pages(image);
    uint64_t sum = 0;
    for (size_t i = 0; i < disk_pages_count(pages); i++) {
        const struct disk_pages_range *range = disk_pages_get(pages, i);
        assert_int_equal(range->kind, DISK_PAGES_PAGE_FILE);
        unsigned char *bytes = malloc(range->length);
        assert_non_null(bytes);
        read_bytes(image, range->offset, bytes, range->length);
        uint64_t same = 0;
        while (same < range->length && bytes[same] == 'x')
            same++;
        assert_int_equal(same, range->length);
        free(bytes);
        sum += range->length;
    }
    disk_pages_destroy(pages);
    return sum;
}

static void page_files_are_found(void **state)
{
    (void)state;
    static const char *const options[] = {"", "-c 512", "-c 65536", "-s 4096 -c 4096", "-C"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(count_reported(make_with_page_file(options[i])), PAGE_FILE_SIZE);
    /* on a volume that compresses all there is nothing that could be left out */
    assert_int_equal(count_reported(make_with_page_file(options[4])), 0);
}

static void both_files_are_found_in_a_partition(void **state)
{
    (void)state;
    const char *image = make_with_page_file("");
    add_file(image, "swapfile.sys", "x", MIB);
    const char *disk = in_directory("disk");
    make_empty(disk, 64 * MIB);
    shell("printf 'label:dos\\n,40M,7\\n' | sfdisk -q --no-reread --no-tell-kernel %s", disk);
    place(disk, MIB, image);
    assert_int_equal(count_reported(disk), PAGE_FILE_SIZE + MIB);
}

static void last_part_of_a_cluster_stays(void **state)
{
    (void)state;
    const char *image = make_image("-c 4096");
    add_file(image, "pagefile.sys", "x", MIB + 100);
    assert_int_equal(count_reported(image), MIB);
}

static void other_files_stay(void **state)
{
    (void)state;
    const char *image = make_image("");
    add_file(image, "hiberfil.sys", "xx00", MIB);
    add_file(image, "pagefile.sys.bak", "x", MIB);
    add_file(image, "PAGEFILE", "x", MIB);
    add_file(image, "swapfile.sys", "x", 100); /* within its record */
    assert_int_equal(count_reported(image), 0);
}

static void crash_dump_stays(void **state)
{
    (void)state;
    const char *image = make_image("");
    add_file(image, "pagefile.sys", "PAGEDU64", MIB);
    assert_int_equal(count_reported(image), 0);
}

static void hibernated_system_is_left_alone(void **state)
{
    (void)state;
    static const struct {
        const char *start;
        bool asleep;
    } files[] = {{"hibr", true}, {"HIBR", true}, {"wake", false}, {"0000", false}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *image = make_with_page_file("");
        add_file(image, "hiberfil.sys", files[i].start, MIB);
        if (files[i].asleep)
            expect_asleep(image);
        else
            assert_int_equal(count_reported(image), PAGE_FILE_SIZE);
    }
}

static void hostile_boot_sectors_give_nothing(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        unsigned offset;
        unsigned length;
    } changes[] = {
        {0, 3, 8},           /* its name */
        {0, 11, 2},          /* bytes of a sector */
        {513, 11, 2},        /**/
        {0x8000, 11, 2},     /**/
        {0, 13, 1},          /* sectors of a cluster */
        {3, 13, 1},          /**/
        {0x81, 13, 1},       /**/
        {0xc1, 13, 1},       /**/
        {0, 40, 8},          /* sectors */
        {UINT64_MAX, 40, 8}, /**/
        {IMAGE_SIZE / 512 + 1, 40, 8},
        {UINT64_MAX, 48, 8}, /* where the MFT is */
        {IMAGE_SIZE / 4096, 48, 8},
        {0, 48, 8},          /**/
        {UINT64_MAX, 56, 8}, /* its mirror */
        {0, 64, 1},          /* size of a record */
        {0x80, 64, 1},       /**/
        {0x7f, 64, 1},       /**/
        {0x80, 68, 1},       /* of an index */
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *image = make_with_page_file("-c 4096");
        uint8_t value[8];
        bytes_put_u64(value, changes[i].value);
        write_bytes(image, changes[i].offset, value, changes[i].length);
        assert_int_equal(count_reported(image), 0);
    }
}

/* The record of a file, by its place in the MFT, which mkntfs puts here with clusters of 4096 bytes. */
enum { MFT = 4 * 4096, RECORD = 1024, PAGE_FILE_RECORD = 65 };

static void hostile_records_give_nothing(void **state)
{
    (void)state;
    static const struct {
        unsigned offset;
        uint16_t value;
    } changes[] = {
        {510, 0},     /* half of it is of another time */
        {0, 0},       /* magic */
        {4, 0xffff},  /* the fixups */
        {6, 0xffff},  /**/
        {16, 0},      /* sequence number */
        {18, 0},      /* links */
        {20, 0xffff}, /* where attributes begin */
        {22, 0},      /* deleted */
        {22, 3},      /* a directory */
        {24, 0xffff}, /* bytes in use */
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *image = make_with_page_file("-c 4096");
        uint8_t name[4];
        unsigned record = MFT + PAGE_FILE_RECORD * RECORD;
        read_bytes(image, record, name, 4);
        assert_memory_equal(name, "FILE", 4);
        assert_int_equal(count_reported(image), PAGE_FILE_SIZE);
        uint8_t value[2];
        bytes_put_u16(value, changes[i].value);
        write_bytes(image, record + changes[i].offset, value, 2);
        assert_int_equal(count_reported(image), 0);
    }
}

static void unusual_mft_gives_nothing(void **state)
{
    (void)state;
    static const struct {
        unsigned offset; /* in the MFT's first record */
        uint16_t value;
    } changes[] = {
        {510, 0},     /* half of it is of another time */
        {0, 0},       /* magic */
        {4, 0xfffe},  /* the fixups */
        {6, 2},       /**/
        {20, 0xffff}, /* where attributes begin */
        {20, 1022},   /**/
        {56, 0x20},   /* an attribute list */
        {60, 0},      /* an attribute's length */
        {60, 0xffff}, /**/
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *image = make_with_page_file("-c 4096");
        uint8_t value[2];
        bytes_put_u16(value, changes[i].value);
        write_bytes(image, MFT + changes[i].offset, value, 2);
        assert_int_equal(count_reported(image), 0);
    }
}

static void truncated_volume_gives_nothing(void **state)
{
    (void)state;
    const char *image = make_with_page_file("");
    for (off_t size = IMAGE_SIZE - 4096; size > 0; size /= 2) {
        assert_int_equal(truncate(image, size), 0);
        assert_int_equal(count_reported(image), 0);
    }
}

static void failing_disk_is_an_error(void **state)
{
    (void)state;
    struct error err;
    for (off_t size = 128 * KIB; size > 0; size /= 4) {
        const char *image = make_with_page_file("");
        struct disk_reader *reader = disk_reader_open_raw(image, &err);
        assert_non_null(reader);
        assert_int_equal(truncate(image, size), 0);
        assert_null(disk_pages_find(reader, &err));
        assert_int_equal(err.code, ERROR_DISK_CHANGED);
        disk_reader_close(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_files_are_found),
        cmocka_unit_test(both_files_are_found_in_a_partition),
        cmocka_unit_test(last_part_of_a_cluster_stays),
        cmocka_unit_test(other_files_stay),
        cmocka_unit_test(crash_dump_stays),
        cmocka_unit_test(hibernated_system_is_left_alone),
        cmocka_unit_test(hostile_boot_sectors_give_nothing),
        cmocka_unit_test(hostile_records_give_nothing),
        cmocka_unit_test(unusual_mft_gives_nothing),
        cmocka_unit_test(truncated_volume_gives_nothing),
        cmocka_unit_test(failing_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
