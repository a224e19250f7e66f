/* What the process that looks for page files says is believed only when it can be so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "agent/backup_pages.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISK_SIZE = 1000000 };

static int parse(const char *text, struct disk_pages_range **ranges, size_t *count, bool *asleep)
{
    struct error err;
    *ranges = NULL;
    return backup_pages_parse(text, strlen(text), DISK_SIZE, ranges, count, asleep, &err);
}

static void lines_become_ranges(void **state)
{
    (void)state;
    struct disk_pages_range *ranges;
    size_t count;
    bool asleep;
    assert_int_equal(parse("0 65536 swap-file\n65536 65536 page-file\n900000 100000 swap-partition\n",
                           &ranges, &count, &asleep),
                     0);
    assert_false(asleep);
    assert_int_equal(count, 3);
    assert_int_equal(ranges[0].kind, DISK_PAGES_SWAP_FILE);
    assert_int_equal(ranges[1].kind, DISK_PAGES_PAGE_FILE);
    assert_int_equal(ranges[2].kind, DISK_PAGES_SWAP_PARTITION);
    assert_int_equal(ranges[2].offset, 900000);
    assert_int_equal(ranges[2].length, 100000);
    free(ranges);
}

static void nothing_and_sleep_are_told_apart(void **state)
{
    (void)state;
    struct disk_pages_range *ranges;
    size_t count;
    bool asleep;
    assert_int_equal(parse("", &ranges, &count, &asleep), 0);
    assert_int_equal(count, 0);
    assert_false(asleep);
    assert_null(ranges);
    assert_int_equal(parse("asleep\n", &ranges, &count, &asleep), 0);
    assert_int_equal(count, 0);
    assert_true(asleep);
    assert_null(ranges);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0 65536 swap-file", /* cut off */
        "0 65536 swap-fi\n",
        "0 65536 swap-files\n",
        "0 65536\n",
        " 0 65536 swap-file\n",
        "0  65536 swap-file\n",
        "-1 65536 swap-file\n",
        "0 0 swap-file\n",
        "0 1000001 swap-file\n",
        "1000001 1 swap-file\n",
        "999999 2 swap-file\n",
        "18446744073709551615 2 swap-file\n",
        "18446744073709551616 2 swap-file\n",
        "1 18446744073709551615 swap-file\n",
        "65536 65536 swap-file\n0 65536 swap-file\n",
        "0 65537 swap-file\n65536 65536 swap-file\n",
        "0 65536 swap-file\nasleep\n",
        "asleep",
        "\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct disk_pages_range *ranges;
        size_t count;
        bool asleep;
        if (parse(texts[i], &ranges, &count, &asleep) == 0) {
            fail_msg("believed: %s", texts[i]);
        }
    }
}

static void too_many_lines_are_refused(void **state)
{
    (void)state;
    enum { LINES = 65537 };
    struct disk_pages_range *ranges = NULL;
    size_t count;
    bool asleep;
    struct error err;
    char *text = malloc(LINES * 32);
    size_t length = 0;
    assert_non_null(text);
    for (int i = 0; i < LINES; i++) {
        length += (size_t)snprintf(text + length, 32, "%d 1 swap-file\n", i);
    }
    assert_int_equal(backup_pages_parse(text, length, DISK_SIZE, &ranges, &count, &asleep, &err), -1);
    free(text);
}

/* Two disks, and what an earlier backup told of them. */
static void expect_recalled(const char *told, size_t first, size_t second, uint64_t length_of_first)
{
    Holdfast__BackupBeginReply begun = HOLDFAST__BACKUP_BEGIN_REPLY__INIT;
    Holdfast__BackupDisk disks[] = {HOLDFAST__BACKUP_DISK__INIT, HOLDFAST__BACKUP_DISK__INIT};
    Holdfast__BackupDisk *pointers[] = {&disks[0], &disks[1]};
    disks[0].name = (char *)(uintptr_t) "vda";
    disks[1].name = (char *)(uintptr_t) "two words";
    disks[0].size = disks[1].size = DISK_SIZE;
    begun.disks = pointers;
    begun.n_disks = 2;
    struct backup_pages *pages = backup_pages_recall(told, &begun);
    size_t count;
    const struct disk_pages_range *ranges = backup_pages_get(pages, 0, &count);
    assert_int_equal(count, first);
    if (first > 0) {
        assert_int_equal(ranges[0].length, length_of_first);
    }
    (void)backup_pages_get(pages, 1, &count);
    assert_int_equal(count, second);
    if (length_of_first < DISK_SIZE && strstr(told, "gone") == NULL) {
        char *again = backup_pages_tell(pages, &begun);
        assert_string_equal(again, told);
        free(again);
    }
    backup_pages_destroy(pages);
}

static void what_was_left_out_is_recalled(void **state)
{
    (void)state;
    expect_recalled("", 0, 0, 0);
    expect_recalled("disk vda\n0 65536 swap-file\n131072 5 page-file\n", 2, 0, 65536);
    expect_recalled("disk vda\n0 65536 swap-file\ndisk two words\n4096 65536 swap-partition\n", 1, 1, 65536);
    expect_recalled("disk gone\n0 99999999 swap-file\ndisk two words\n4096 65536 swap-partition\n", 0, 1, 0);
    /* everything of every disk */
    expect_recalled("unknown", 1, 1, DISK_SIZE);
    expect_recalled("everything", 1, 1, DISK_SIZE);
    expect_recalled("disk vda\n0 65536 swap-file\n0 1 swap-file\n", 1, 1, DISK_SIZE);
    expect_recalled("disk vda\n0 1000001 swap-file\n", 1, 1, DISK_SIZE);
    expect_recalled("disk vda", 1, 1, DISK_SIZE);
    expect_recalled("disk vda\n0 1 swap-file\ndisk vda\n2 1 swap-file\n", 1, 1, DISK_SIZE);
}

static void expect_note(const char *wanted, uint64_t swap, uint64_t page_files)
{
    char *note = backup_pages_note("vda", swap, page_files);
    assert_string_equal(note, wanted);
    free(note);
}

static void notes_name_disk_and_size(void **state)
{
    (void)state;
    const uint64_t mib = 1024 * 1024;
    assert_null(backup_pages_note("vda", 0, 0));
    expect_note("vda: 512.0 MiB of swap left out", 512 * mib, 0);
    expect_note("vda: 1.5 GiB of page files left out", 0, 1536 * mib);
    expect_note("vda: 0.5 MiB of swap and 2.0 GiB of page files left out", mib / 2, 2048 * mib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_ranges),           cmocka_unit_test(nothing_and_sleep_are_told_apart),
        cmocka_unit_test(what_cannot_be_is_refused),     cmocka_unit_test(too_many_lines_are_refused),
        cmocka_unit_test(what_was_left_out_is_recalled), cmocka_unit_test(notes_name_disk_and_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
