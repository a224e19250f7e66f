/* Which disks can have a snapshot that stays on the host, why others can't, and that nothing is left then. */
#include "snapshot_fixture.h"

#include "agent/snapshots/file_clone.h"
#include "agent/snapshots/snapshot_make.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

static struct snapshot_make *prepare(struct host_snapshots *snapshots, const char *point, const char *name,
                                     const char *path, const char *format, struct error *err)
{
    const struct snapshot_make_disk disk = {name, path, format, MIB, MIB};
    const struct snapshot_make_wish wish = {.point = point,
                                            .job = "j1",
                                            .kind = "image",
                                            .vm_uuid = "u1",
                                            .vm_name = "web",
                                            .configuration = "{}",
                                            .days = 2,
                                            .disks = &disk,
                                            .count = 1};
    return snapshot_make_prepare(snapshots, &wish, err);
}

/* The header of a qcow2 file of version 3, with one byte changed. */
static void write_qcow2(const char *path, size_t at, uint8_t byte)
{
    struct error err;
    uint8_t header[512] = {'Q', 'F', 'I', 0xfb, 0, 0, 0, 3};
    header[at] = byte;
    check(os_file_write_whole(path, header, sizeof header, 0600, &err), err);
}

static void other_disks_are_refused_with_the_reason(void **state)
{
    (void)state;
    struct error err;
    write_text(in_directory("one.raw"), "one");
    write_qcow2(in_directory("backing.qcow2"), 15, 1);
    write_qcow2(in_directory("crypt.qcow2"), 35, 2);
    write_qcow2(in_directory("external.qcow2"), 79, 4);
    static const struct {
        const char *point, *name, *file, *format, *says;
        enum error_code code;
    } cases[] = {
        {"p1", "vda", "one.raw", "vmdk", "vmdk", ERROR_SNAPSHOT_NOT_KEPT},
        {"p1", "vda", "one.raw", "qcow2", "no header", ERROR_SNAPSHOT_NOT_KEPT},
        {"p1", "vda", "backing.qcow2", "qcow2", "a backing file", ERROR_SNAPSHOT_NOT_KEPT},
        {"p1", "vda", "crypt.qcow2", "qcow2", "encrypted", ERROR_SNAPSHOT_NOT_KEPT},
        {"p1", "vda", "external.qcow2", "qcow2", "a data file", ERROR_SNAPSHOT_NOT_KEPT},
        {"p1", "vda", "missing", "raw", "missing", ERROR_SNAPSHOT_NOT_KEPT},
        {"p1", "vda", ".", "raw", "neither a file nor", ERROR_SNAPSHOT_NOT_KEPT},
        {"p1", "../vda", "one.raw", "raw", "../vda", ERROR_SNAPSHOT_NOT_KEPT},
        {"../p1", "vda", "one.raw", "raw", "../p1", ERROR_REQUEST_INVALID},
    };
    struct host_snapshots *snapshots = snapshots_open(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(prepare(snapshots, cases[i].point, cases[i].name, in_directory(cases[i].file),
                            cases[i].format, &err));
        assert_int_equal(err.code, cases[i].code);
        if (!strstr(err.message, cases[i].says))
            fail_msg("\"%s\" does not say %s", err.message, cases[i].says);
        assert_false(os_path_exists(in_directory(".holdfast")));
        assert_false(os_path_exists(in_directory("snapshots/jobs/p1.json")));
    }
    host_snapshots_destroy(snapshots);
}

static void what_is_abandoned_leaves_nothing(void **state)
{
    (void)state;
    struct error err;
    write_qcow2(in_directory("whole.qcow2"), 100, 0);
    static const struct config_key keys[] = {HOST_SNAPSHOTS_CONFIG_KEYS, {NULL, NULL, NULL}};
    write_text(in_directory("agent.conf"), "snapshot-free-percent = 0\n"); /* however full this machine is */
    struct config *config = config_load(in_directory("agent.conf"), keys, &err);
    assert_non_null(config);
    struct host_snapshots *snapshots = snapshots_open(config);
    config_destroy(config);
    struct snapshot_make *make = prepare(snapshots, "p1", "vda", in_directory("whole.qcow2"), "qcow2", &err);
    assert_non_null(make);
    assert_true(os_path_exists(in_directory(".holdfast/u1-p1-vda.qcow2")));
    assert_true(os_path_exists(in_directory("snapshots/jobs/p1.json")));
    assert_int_equal(snapshots_count(snapshots), 0);
    snapshot_make_abandon(make);
    assert_false(os_path_exists(in_directory(".holdfast")));
    assert_false(os_path_exists(in_directory("snapshots/jobs/p1.json")));
    host_snapshots_destroy(snapshots);
}

/* A file of memory: its file system never shares blocks. */
static int memory_file(const char *text)
{
    int file = memfd_create("disk", MFD_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    return file;
}

static void sharing_that_fails_says_why(void **state)
{
    (void)state;
    struct error err;
    int from = memory_file("one");
    int to = memory_file("");
    assert_int_equal(file_clone_blocks(from, to, 0, &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_NOT_KEPT);
    assert_non_null(strstr(err.message, "reflink"));
    assert_int_equal(file_clone_blocks(from, to, 1, &err), -1); /* over, before it has begun */
    assert_int_equal(err.code, ERROR_SNAPSHOT_TIMEOUT);
    assert_non_null(strstr(err.message, "too many pieces"));
    close(from);
    close(to);
}

static void copies_have_holes_where_the_original_has(void **state)
{
    (void)state;
    struct error err;
    const char *from = in_directory("sparse");
    const char *to = in_directory("copy");
    int file = open(from, O_RDWR | O_CREAT, 0600);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, "begin", 5, 0), 5);
    assert_int_equal(pwrite(file, "end", 3, 40 * MIB), 3);
    assert_int_equal(ftruncate(file, 64 * MIB), 0);
    close(file);
    check(file_clone_copy(from, to, &err), err);
    const char *const compare[] = {"cmp", from, to, NULL};
    run_tool(compare);
    struct stat info;
    assert_int_equal(stat(to, &info), 0);
    assert_int_equal(info.st_size, 64 * MIB);
    assert_true(info.st_blocks < 8 * MIB / 512);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(file_clone_copy(from, to, &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_PATH_EXISTS);
    assert_int_equal(file_clone_copy(in_directory("missing"), in_directory("other"), &err), -1);
    assert_int_equal(err.code, ERROR_SNAPSHOT_GONE);
    assert_false(os_path_exists(in_directory("other")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_disks_are_refused_with_the_reason),
        cmocka_unit_test(what_is_abandoned_leaves_nothing),
        cmocka_unit_test(sharing_that_fails_says_why),
        cmocka_unit_test(copies_have_holes_where_the_original_has),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
