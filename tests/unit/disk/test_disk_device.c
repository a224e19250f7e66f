#include "disk/disk_device.h"
#include "disk_fixture.h"
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* /proc and /sys of a host: sda with two partitions, the second under LVM (root and swap); sdb with LUKS on
 * it; sdc and sdd with one btrfs; sde with nothing. */
static const struct {
    const char *path;
    const char *text;
} tree[] = {
    {"sys/dev/block/8:0/sda1/partition", "1\n"},
    {"sys/dev/block/8:0/sda1/dev", "8:1\n"},
    {"sys/dev/block/8:0/sda2/partition", "2\n"},
    {"sys/dev/block/8:0/sda2/dev", "8:2\n"},
    {"sys/dev/block/8:0/queue/rotational", "0\n"},
    {"sys/dev/block/8:2/holders/dm-0/dev", "253:0\n"},
    {"sys/dev/block/8:2/holders/dm-1/dev", "253:1\n"},
    {"sys/dev/block/8:16/holders/dm-2/dev", "253:2\n"},
    {"sys/dev/block/253:2/holders/dm-2/dev", "253:2\n"}, /* nonsense, but no loop */
    {"sys/dev/block/8:32/queue/rotational", "0\n"},
    {"sys/fs/btrfs/features/raid56", "0\n"},
    {"sys/fs/btrfs/one/devices/sdc/dev", "8:32\n"},
    {"sys/fs/btrfs/one/devices/sdd/dev", "8:48\n"},
    {"proc/self/mountinfo", "22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw,discard\n"
                            "23 22 0:5 / /dev rw - devtmpfs udev rw\n"
                            "24 22 8:1 / /boot ro,relatime shared:2 master:1 - ext2 /dev/sda1 rw\n"
                            "broken\n"
                            "25 22 253:2 / /srv/a\\040b\\134c rw - xfs /dev/mapper/secret ro,inode64\n"
                            "26 22 8:48 / /data rw - btrfs /dev/sdd rw,space_cache\n"
                            "27 22 7:1 / /short rw -\n"},
};

static void make_parents(char *path)
{
    for (char *slash = path + strlen(directory) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        (void)mkdir(path, 0700);
    }
}

static int make_tree(void **state)
{
    struct error err;
    if (make_directory(state) != 0)
        return -1;
    for (size_t i = 0; i < sizeof tree / sizeof tree[0]; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", directory, tree[i].path);
        make_parents(path);
        if (os_file_write_whole(path, tree[i].text, strlen(tree[i].text), 0600, &err) != 0)
            return -1;
    }
    return 0;
}

static void mounts_are_found_through_what_lies_between(void **state)
{
    (void)state;
    static const struct {
        unsigned high;
        unsigned low;
        const char *points; /* w: writable, d: direct */
    } cases[] = {
        {8, 0, "/ w,/boot w,"},   {8, 1, "/boot wd,"}, {8, 2, "/ w,"},      {253, 0, "/ wd,"}, {253, 1, ""},
        {8, 16, "/srv/a b\\c ,"}, {8, 32, "/data w,"}, {8, 48, "/data w,"}, {8, 64, ""},       {7, 1, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err;
        struct disk_device_use use;
        char points[256] = "";
        assert_int_equal(disk_device_mounts(directory, makedev(cases[i].high, cases[i].low), &use, &err), 0);
        for (size_t m = 0; m < use.count; m++) {
            size_t at = strlen(points);
            snprintf(points + at, sizeof points - at, "%s %s%s,", use.mounts[m].point,
                     use.mounts[m].writable ? "w" : "", use.mounts[m].direct ? "d" : "");
        }
        assert_string_equal(points, cases[i].points);
        const struct disk_mount *writer = disk_device_writer(&use);
        assert_int_equal(writer != NULL, strchr(cases[i].points, 'w') != NULL);
        disk_device_use_release(&use);
    }
}

static void a_file_is_no_device(void **state)
{
    (void)state;
    struct error err;
    struct disk_device_use use;
    assert_false(disk_device_is(directory));
    assert_false(disk_device_is("/dev/null"));
    assert_true(disk_device_number("/dev/null") == 0);
    assert_null(disk_device_path(makedev(0, 0)));
    assert_int_equal(disk_device_use("/dev/null", &use, &err), -1);
    assert_int_equal(err.code, ERROR_DISK_READ_FAILED);
    assert_int_equal(disk_device_mounts("/nonexistent", makedev(8, 0), &use, &err), -1);
    assert_int_equal(use.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mounts_are_found_through_what_lies_between),
        cmocka_unit_test(a_file_is_no_device),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_directory);
}
