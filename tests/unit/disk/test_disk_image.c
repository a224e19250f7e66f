#include "base/memory.h"
#include "disk/disk_image.h"
#include "disk/disk_reader.h"
#include "disk/qemu_nbd.h"
#include "disk_fixture.h"
#include <time.h>

enum { MIB = 1024 * 1024 };

static void formats_are_told_by_their_first_bytes(void **state)
{
    (void)state;
    struct error err;
    static const char *const formats[] = {"qcow2", "vhdx", "raw", "vmdk"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const char *path = in_directory(formats[i]);
        const char *const create[] = {"qemu-img", "create", "-q", "-f", formats[i], path, "64M", NULL};
        run_tool(create);
        assert_string_equal(disk_image_probe(path, &err), formats[i]);
        struct disk_image image;
        assert_int_equal(disk_image_inspect(path, formats[i], &image, &err), 0);
        assert_string_equal(image.format, formats[i]);
        assert_int_equal(image.size, 64 * MIB);
        assert_true(image.allocated < 16 * MIB);
        assert_int_equal(image.bitmap_count, 0);
        disk_image_release(&image);
        uint64_t size = 0;
        assert_int_equal(disk_image_size(path, formats[i], &size, &err), 0);
        assert_int_equal(size, 64 * MIB);
    }
}

static void bitmaps_are_listed(void **state)
{
    (void)state;
    struct error err;
    const char *path = in_directory("bitmaps.qcow2");
    const char *const create[] = {"qemu-img", "create", "-q", "-f", "qcow2", path, "64M", NULL};
    const char *const first[] = {"qemu-img", "bitmap", "--add", path, "first", NULL};
    const char *const second[] = {"qemu-img", "bitmap", "--add", path, "second", NULL};
    run_tool(create);
    run_tool(first);
    run_tool(second);
    struct disk_image image;
    assert_int_equal(disk_image_inspect(path, "qcow2", &image, &err), 0);
    assert_int_equal(image.bitmap_count, 2);
    assert_non_null(disk_image_bitmap(&image, "second"));
    assert_false(disk_image_bitmap(&image, "first")->in_use);
    assert_null(disk_image_bitmap(&image, "third"));
    disk_image_release(&image);
    assert_false(disk_image_in_use(path));
    assert_true(disk_image_keeps_bitmaps(path, "qcow2"));
    const char *const create_old[] = {"qemu-img", "create",      "-q", "-f", "qcow2",
                                      "-o",       "compat=0.10", path, "1M", NULL};
    run_tool(create_old);
    assert_false(disk_image_keeps_bitmaps(path, "qcow2"));
    assert_false(disk_image_keeps_bitmaps(path, "raw"));
}

/* As libvirt leaves it when it takes a snapshot in a file of its own: the record goes on above. */
static void bitmaps_below_are_seen(void **state)
{
    (void)state;
    char *base = memory_copy_text(in_directory("below.qcow2"));
    char *middle = memory_copy_text(in_directory("middle.qcow2"));
    const char *top = in_directory("above.qcow2");
    const char *const create[] = {"qemu-img", "create", "-q", "-f", "qcow2", base, "64M", NULL};
    const char *const add[] = {"qemu-img", "bitmap", "--add", base, "point", NULL};
    const char *const cover[] = {"qemu-img", "create", "-q",    "-f",   "qcow2", "-b",
                                 base,       "-F",     "qcow2", middle, NULL};
    const char *const cover_again[] = {"qemu-img", "create", "-q",    "-f", "qcow2", "-b",
                                       middle,     "-F",     "qcow2", top,  NULL};
    const char *const add_above[] = {"qemu-img", "bitmap", "--add", top, "point", NULL};
    const char *const add_newer[] = {"qemu-img", "bitmap", "--add", top, "newer", NULL};
    run_tool(create);
    run_tool(add);
    run_tool(cover);
    run_tool(cover_again);
    run_tool(add_above);
    run_tool(add_newer);
    assert_true(disk_image_bitmap_below(top, "qcow2", "point"));
    assert_false(disk_image_bitmap_below(top, "qcow2", "newer"));
    assert_false(disk_image_bitmap_below(base, "qcow2", "point"));
    assert_int_equal(unlink(base), 0);
    assert_true(disk_image_bitmap_below(top, "qcow2", "newer")); /* nobody knows */
    free(base);
    free(middle);
}

static void expect_writer(const char *path, const char *format)
{
    struct error err;
    struct timespec moment = {.tv_nsec = 10000000};
    const struct qemu_nbd_image image = {.path = path, .format = format, .writable = true, .clients = 1};
    struct qemu_nbd *user = qemu_nbd_start(&image, &err);
    int fd = qemu_nbd_dial(user, &err); /* it may listen before it has opened the image */
    assert_true(fd >= 0);
    for (int i = 0; i < 2000 && !disk_image_in_use(path); i++)
        nanosleep(&moment, NULL);
    assert_true(disk_image_in_use(path));
    close(fd);
    qemu_nbd_stop(user);
    assert_false(disk_image_in_use(path));
}

static void writers_are_seen(void **state)
{
    (void)state;
    struct error err;
    static const char *const formats[] = {"qcow2", "raw"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        const char *path = in_directory(i == 0 ? "used.qcow2" : "used.raw");
        const char *const create[] = {"qemu-img", "create", "-q", "-f", formats[i], path, "1M", NULL};
        run_tool(create);
        expect_writer(path, formats[i]);
        struct disk_reader *reader = disk_reader_open_image(path, formats[i], NULL, &err);
        assert_non_null(reader);
        assert_false(disk_image_in_use(path));
        disk_reader_close(reader);
    }
    assert_false(disk_image_in_use(in_directory("nothing")));
}

static void what_is_no_image_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct disk_image image;
    uint64_t size = 0;
    make_file(in_directory("not.qcow2"), MIB, NULL, 0, 1, 0);
    assert_null(disk_image_probe(in_directory("nothing"), &err));
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
    assert_int_equal(disk_image_inspect(in_directory("not.qcow2"), "qcow2", &image, &err), -1);
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
    assert_int_equal(disk_image_size(in_directory("not.qcow2"), "qcow2", &size, &err), -1);
    assert_int_equal(disk_image_inspect(directory, "raw", &image, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_told_by_their_first_bytes),
        cmocka_unit_test(bitmaps_are_listed),
        cmocka_unit_test(bitmaps_below_are_seen),
        cmocka_unit_test(writers_are_seen),
        cmocka_unit_test(what_is_no_image_is_refused),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
