/* Which chunks are read, which are told as zeros: extents, and what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/backup_planner.h"
#include "disk/disk_reader_internal.h"
#include <stdio.h>
#include <string.h>

enum { CHUNK = 65536, KIB = 1024, MAX_CHUNKS = 64 };

/* A disk that is nothing but extents. */
struct disk {
    struct disk_reader reader;
    const struct disk_extent *extents;
    size_t count;
};

static int give_extents(struct disk_reader *reader, uint64_t offset, uint64_t length,
                        struct disk_extent *extents, size_t capacity, size_t *count, struct error *err)
{
    const struct disk *disk = (const struct disk *)reader;
    (void)err;
    for (size_t i = 0; i < disk->count && *count < capacity; i++) {
        const struct disk_extent *extent = &disk->extents[i];
        if (extent->offset + extent->length > offset && extent->offset < offset + length) {
            extents[(*count)++] = *extent;
        }
    }
    return 0;
}

static const struct disk_reader_operations operations = {.extents = give_extents};

/* What the planner gives, as text: "r0+2" read two chunks from chunk 0 on, "z2+1" zeros. */
static void plan(const struct backup_planner_disk *disks, size_t count, uint64_t max_chunks, char *text,
                 size_t size)
{
    struct backup_planner *planner = backup_planner_create(disks, count, CHUNK);
    struct backup_plan_item item;
    struct error err;
    size_t length = 0;
    int more;
    text[0] = '\0';
    while ((more = backup_planner_next(planner, max_chunks, &item, &err)) > 0) {
        length += (size_t)snprintf(text + length, size - length, "%s%zu:%c%llu+%llu", length > 0 ? " " : "",
                                   item.disk, item.zeros ? 'z' : 'r', (unsigned long long)item.first,
                                   (unsigned long long)item.count);
        assert_true(length < size);
    }
    assert_int_equal(more, 0);
    backup_planner_destroy(planner);
}

static void expect(const char *wanted, uint64_t size, const struct disk_extent *extents, size_t extent_count,
                   const struct disk_pages_range *left_out, size_t left_out_count)
{
    char text[512];
    struct disk disk = {
        .reader = {.operations = &operations, .size = size}, .extents = extents, .count = extent_count};
    const struct backup_planner_disk planned = {.reader = &disk.reader,
                                                .name = "vda",
                                                .size = size,
                                                .left_out = left_out,
                                                .left_out_count = left_out_count};
    plan(&planned, 1, MAX_CHUNKS, text, sizeof text);
    assert_string_equal(text, wanted);
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct disk_extent all_data[] = {{0, 10 * CHUNK, DISK_EXTENT_DATA}};

static void extents_become_chunks(void **state)
{
    (void)state;
    static const struct disk_extent mixed[] = {{0, 2 * CHUNK, DISK_EXTENT_DATA},
                                               {2 * CHUNK, CHUNK / 2, DISK_EXTENT_ZERO},
                                               {2 * CHUNK + CHUNK / 2, CHUNK / 2, DISK_EXTENT_UNCHANGED},
                                               {3 * CHUNK, 2 * CHUNK, DISK_EXTENT_ZERO},
                                               {5 * CHUNK, 5 * CHUNK, DISK_EXTENT_UNCHANGED}};
    expect("0:r0+10", 10 * CHUNK, all_data, COUNT(all_data), NULL, 0);
    expect("0:r0+2 0:r2+1 0:z3+2", 10 * CHUNK, mixed, COUNT(mixed), NULL, 0);
}

static void only_whole_chunks_are_left_out(void **state)
{
    (void)state;
    static const struct disk_pages_range exact[] = {{2 * CHUNK, 3 * CHUNK, DISK_PAGES_SWAP_FILE}};
    static const struct disk_pages_range behind_a_page[] = {
        {4096, 3 * CHUNK - 4096, DISK_PAGES_SWAP_PARTITION}};
    static const struct disk_pages_range short_of_one[] = {{CHUNK + 512, CHUNK + 1024, DISK_PAGES_SWAP_FILE},
                                                           {4 * CHUNK, CHUNK - 1, DISK_PAGES_SWAP_FILE}};
    static const struct disk_pages_range both_ends[] = {{0, CHUNK, DISK_PAGES_SWAP_FILE},
                                                        {9 * CHUNK, CHUNK, DISK_PAGES_SWAP_FILE}};
    static const struct disk_pages_range neighbours[] = {{CHUNK, CHUNK, DISK_PAGES_SWAP_FILE},
                                                         {2 * CHUNK, CHUNK, DISK_PAGES_PAGE_FILE}};
    expect("0:r0+2 0:z2+3 0:r5+5", 10 * CHUNK, all_data, 1, exact, COUNT(exact));
    expect("0:r0+1 0:z1+2 0:r3+7", 10 * CHUNK, all_data, 1, behind_a_page, COUNT(behind_a_page));
    expect("0:r0+10", 10 * CHUNK, all_data, 1, short_of_one, COUNT(short_of_one));
    expect("0:z0+1 0:r1+8 0:z9+1", 10 * CHUNK, all_data, 1, both_ends, COUNT(both_ends));
    expect("0:r0+1 0:z1+1 0:z2+1 0:r3+7", 10 * CHUNK, all_data, 1, neighbours, COUNT(neighbours));
}

static void the_last_chunk_is_whole_at_the_end_of_the_disk(void **state)
{
    (void)state;
    static const struct disk_extent data[] = {{0, 2 * CHUNK + 512, DISK_EXTENT_DATA}};
    static const struct disk_pages_range to_the_end[] = {{CHUNK, CHUNK + 512, DISK_PAGES_SWAP_PARTITION}};
    static const struct disk_pages_range not_quite[] = {{CHUNK, CHUNK + 511, DISK_PAGES_SWAP_PARTITION}};
    expect("0:r0+1 0:z1+2", 2 * CHUNK + 512, data, 1, to_the_end, 1);
    expect("0:r0+1 0:z1+1 0:r2+1", 2 * CHUNK + 512, data, 1, not_quite, 1);
}

/* The parent may have what was swapped there before; it becomes zeros. */
static void unchanged_is_left_out_too(void **state)
{
    (void)state;
    static const struct disk_extent unchanged[] = {{0, 10 * CHUNK, DISK_EXTENT_UNCHANGED}};
    static const struct disk_extent changing[] = {
        {0, 3 * CHUNK, DISK_EXTENT_UNCHANGED},
        {3 * CHUNK, CHUNK / 2, DISK_EXTENT_DATA},
        {3 * CHUNK + CHUNK / 2, 7 * CHUNK - CHUNK / 2, DISK_EXTENT_UNCHANGED}};
    static const struct disk_pages_range range[] = {{2 * CHUNK, 4 * CHUNK, DISK_PAGES_SWAP_FILE}};
    static const struct disk_pages_range beside[] = {{4 * CHUNK, CHUNK, DISK_PAGES_SWAP_FILE}};
    expect("0:z2+4", 10 * CHUNK, unchanged, 1, range, 1);
    expect("0:z2+4", 10 * CHUNK, changing, COUNT(changing), range, 1);
    expect("0:r3+1 0:z4+1", 10 * CHUNK, changing, COUNT(changing), beside, 1);
}

static void what_the_parent_left_out_is_read(void **state)
{
    (void)state;
    char text[512];
    static const struct disk_extent extents[] = {{0, 6 * CHUNK, DISK_EXTENT_UNCHANGED},
                                                 {6 * CHUNK, CHUNK / 2, DISK_EXTENT_ZERO},
                                                 {6 * CHUNK + CHUNK / 2, CHUNK / 2, DISK_EXTENT_UNCHANGED},
                                                 {7 * CHUNK, CHUNK, DISK_EXTENT_ZERO},
                                                 {8 * CHUNK, 2 * CHUNK, DISK_EXTENT_UNCHANGED}};
    static const struct disk_pages_range missing[] = {{CHUNK + 512, 3 * CHUNK, DISK_PAGES_SWAP_FILE},
                                                      {7 * CHUNK, CHUNK, DISK_PAGES_SWAP_FILE},
                                                      {9 * CHUNK, 1, DISK_PAGES_SWAP_FILE}};
    static const struct disk_pages_range left_out[] = {{2 * CHUNK, CHUNK, DISK_PAGES_SWAP_FILE}};
    struct disk disk = {
        .reader = {.operations = &operations, .size = 10 * CHUNK}, .extents = extents, .count = 5};
    struct backup_planner_disk planned = {.reader = &disk.reader,
                                          .name = "a",
                                          .size = 10 * CHUNK,
                                          .missing = missing,
                                          .missing_count = COUNT(missing)};
    plan(&planned, 1, MAX_CHUNKS, text, sizeof text);
    assert_string_equal(text, "0:r1+4 0:r6+1 0:z7+1 0:r9+1");
    planned.left_out = left_out;
    planned.left_out_count = COUNT(left_out);
    plan(&planned, 1, MAX_CHUNKS, text, sizeof text);
    assert_string_equal(text, "0:r1+1 0:z2+1 0:r3+2 0:r6+1 0:z7+1 0:r9+1");
    plan(&planned, 1, 1, text, sizeof text);
    assert_string_equal(text, "0:r1+1 0:z2+1 0:r3+1 0:r4+1 0:r6+1 0:z7+1 0:r9+1");
}

static void each_disk_has_its_own(void **state)
{
    (void)state;
    char text[512];
    static const struct disk_pages_range first[] = {{8 * CHUNK, CHUNK, DISK_PAGES_SWAP_FILE}};
    static const struct disk_pages_range second[] = {{CHUNK, CHUNK, DISK_PAGES_SWAP_FILE}};
    struct disk disk = {
        .reader = {.operations = &operations, .size = 10 * CHUNK}, .extents = all_data, .count = 1};
    const struct backup_planner_disk disks[] = {
        {.reader = &disk.reader, .name = "a", .size = 10 * CHUNK, .left_out = first, .left_out_count = 1},
        {.reader = &disk.reader, .name = "b", .size = 10 * CHUNK},
        {.reader = &disk.reader, .name = "c", .size = 10 * CHUNK, .left_out = second, .left_out_count = 1}};
    plan(disks, 3, 5, text, sizeof text);
    assert_string_equal(text, "0:r0+5 0:r5+3 0:z8+1 0:r9+1 1:r0+5 1:r5+5 2:r0+1 2:z1+1 2:r2+5 2:r7+3");
}

static void what_is_left_out_is_counted(void **state)
{
    (void)state;
    static const struct disk_pages_range ranges[] = {{4096, 3 * CHUNK - 4096, DISK_PAGES_SWAP_PARTITION},
                                                     {4 * CHUNK, CHUNK, DISK_PAGES_SWAP_FILE},
                                                     {6 * CHUNK, 2 * CHUNK + KIB, DISK_PAGES_PAGE_FILE}};
    const struct backup_planner_disk disk = {
        .size = 10 * CHUNK, .left_out = ranges, .left_out_count = COUNT(ranges)};
    uint64_t swap = 0;
    uint64_t page_files = 0;
    backup_planner_left_out(&disk, CHUNK, &swap, &page_files);
    assert_int_equal(swap, 3 * CHUNK);
    assert_int_equal(page_files, 2 * CHUNK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_become_chunks),
        cmocka_unit_test(only_whole_chunks_are_left_out),
        cmocka_unit_test(the_last_chunk_is_whole_at_the_end_of_the_disk),
        cmocka_unit_test(unchanged_is_left_out_too),
        cmocka_unit_test(what_the_parent_left_out_is_read),
        cmocka_unit_test(each_disk_has_its_own),
        cmocka_unit_test(what_is_left_out_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
