#include "agent/providers/job_journal.h"
#include "agent/providers/restore_files.h"
#include "disk/disk_image.h"
#include "disk/qemu_nbd.h"
#include "provider_fixture.h"
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Two raw files of four bytes, "new1" and "new2", on their way to a and b. */
static struct restore_files *prepare(bool replace)
{
    struct error err;
    struct restore_files *files = restore_files_create(directory, "test", "job-1");
    check(restore_files_plan(files, in_directory("a"), "raw", 4, replace, &err), err);
    check(restore_files_plan(files, in_directory("b"), "raw", 4, replace, &err), err);
    check(restore_files_make(files, &err), err);
    for (size_t i = 0; i < 2; i++) {
        struct disk_writer *writer = restore_files_writer(files, i);
        check(disk_writer_write(writer, 0, i ? "new2" : "new1", 4, &err), err);
    }
    return files;
}

static size_t count_files(const char *where)
{
    char command[200];
    snprintf(command, sizeof command, "find %s -type f | wc -l", where);
    const char *const argv[] = {"sh", "-c", command, NULL};
    struct error err;
    char *text = NULL;
    check(os_process_run(argv, 100, &text, &err), err);
    size_t count = (size_t)atoi(text);
    free(text);
    return count;
}

static int clean(void **state)
{
    (void)state;
    unlink(in_directory("a"));
    unlink(in_directory("b"));
    assert_int_equal(count_files(directory), 0);
    return 0;
}

static void new_disks_take_their_places(void **state)
{
    (void)state;
    struct error err;
    struct restore_files *files = prepare(false);
    assert_false(os_path_exists(in_directory("a")));
    check(restore_files_finish(files, &err), err);
    check(restore_files_place(files, &err), err);
    restore_files_keep(files);
    check_text(in_directory("a"), "new1");
    check_text(in_directory("b"), "new2");
    assert_int_equal(count_files(directory), 2);
}

static void old_disks_go_only_at_the_end(void **state)
{
    (void)state;
    struct error err;
    write_text(in_directory("a"), "old1");
    assert_int_equal(chmod(in_directory("a"), 0640), 0);
    struct restore_files *files = prepare(true);
    check(restore_files_finish(files, &err), err);
    check_text(in_directory("a"), "old1");
    check(restore_files_place(files, &err), err);
    check_text(in_directory("a"), "new1");
    restore_files_keep(files);
    struct stat info;
    assert_int_equal(stat(in_directory("a"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(count_files(directory), 2);
}

static void undo_works_in_every_state(void **state)
{
    (void)state;
    struct error err;
    for (int steps = 0; steps < 3; steps++) {
        write_text(in_directory("a"), "old1");
        struct restore_files *files = prepare(true);
        if (steps >= 1)
            check(restore_files_finish(files, &err), err);
        if (steps >= 2)
            check(restore_files_place(files, &err), err);
        restore_files_undo(files);
        check_text(in_directory("a"), "old1");
        assert_false(os_path_exists(in_directory("b")));
        assert_int_equal(count_files(directory), 1);
    }
    restore_files_undo(NULL);
}

/* What a life leaves that ends here: the same files, the journal, and nobody who undoes. */
static void recovery_undoes_an_earlier_life(void **state)
{
    (void)state;
    struct error err;
    for (int steps = 0; steps < 4; steps++) {
        write_text(in_directory("a"), "old1");
        struct restore_files *files = prepare(true);
        if (steps >= 1)
            check(restore_files_finish(files, &err), err);
        if (steps >= 2)
            check(restore_files_place(files, &err), err);
        if (steps >= 3) { /* the crash came in the middle of a slow exchange */
            assert_int_equal(
                rename(in_directory("a.holdfast-job-1.new"), in_directory("a.holdfast-job-1.new.old")), 0);
        }
        json_t *entries = job_journal_list(directory, "test");
        assert_int_equal(json_array_size(entries), 1);
        assert_true(restore_files_recover(directory, json_array_get(entries, 0)));
        json_decref(entries);
        check_text(in_directory("a"), "old1");
        assert_false(os_path_exists(in_directory("b")));
        assert_int_equal(count_files(directory), 1);
        restore_files_undo(files); /* only memory is left of it */
        check_text(in_directory("a"), "old1");
        assert_int_equal(count_files(directory), 1);
    }
}

/* Another VM has it open, as QEMU does. */
static void a_disk_in_use_stays(void **state)
{
    (void)state;
    struct error err;
    write_text(in_directory("a"), "old1");
    assert_int_equal(truncate(in_directory("a"), 512), 0);
    struct restore_files *files = prepare(true);
    check(restore_files_check_use(files, &err), err);
    check(restore_files_finish(files, &err), err);
    const struct qemu_nbd_image image = {
        .path = in_directory("a"), .format = "raw", .writable = true, .clients = 1};
    struct qemu_nbd *user = qemu_nbd_start(&image, &err);
    int fd = qemu_nbd_dial(user, &err); /* it may listen before it has opened the disk */
    assert_true(fd >= 0);
    struct timespec moment = {.tv_nsec = 10000000};
    for (int i = 0; i < 2000 && !disk_image_in_use(in_directory("a")); i++)
        nanosleep(&moment, NULL);
    assert_int_equal(restore_files_check_use(files, &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_TARGET_IN_USE);
    assert_int_equal(restore_files_place(files, &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_TARGET_IN_USE);
    close(fd);
    qemu_nbd_stop(user);
    restore_files_undo(files);
    check_text(in_directory("a"), "old1");
    assert_false(os_path_exists(in_directory("b")));
    assert_int_equal(count_files(directory), 1);
}

/* The journal can't tell that the restore is good: a life after this one takes the new disks away. */
static void without_a_journal_the_old_disks_stay(void **state)
{
    (void)state;
    struct error err;
    write_text(in_directory("a"), "old1");
    struct restore_files *files = prepare(true);
    check(restore_files_finish(files, &err), err);
    check(restore_files_place(files, &err), err);
    assert_int_equal(rename(in_directory("jobs"), in_directory("away")), 0);
    write_text(in_directory("jobs"), "no directory");
    restore_files_keep(files);
    assert_int_equal(unlink(in_directory("jobs")), 0);
    assert_int_equal(rename(in_directory("away"), in_directory("jobs")), 0);
    json_t *entries = job_journal_list(directory, "test");
    assert_int_equal(json_array_size(entries), 1);
    assert_true(restore_files_recover(directory, json_array_get(entries, 0)));
    json_decref(entries);
    check_text(in_directory("a"), "old1");
    assert_int_equal(count_files(directory), 1);
}

static void bad_places_are_refused(void **state)
{
    (void)state;
    struct error err;
    struct restore_files *files = restore_files_create(directory, "test", "job-1");
    write_text(in_directory("a"), "old1");
    assert_int_equal(restore_files_plan(files, in_directory("a"), "raw", 4, false, &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_PATH_EXISTS);
    assert_int_equal(restore_files_plan(files, in_directory("no/a"), "raw", 4, false, &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_TARGET_MISSING);
    char name[256];
    memset(name, 'n', 255);
    name[250] = '\0';
    char path[400];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(restore_files_plan(files, path, "raw", 4, false, &err), -1);
    assert_int_equal(err.code, ERROR_RESTORE_PATH_TOO_LONG);
    check(restore_files_plan(files, in_directory("b"), "raw", 4, false, &err), err);
    assert_int_equal(restore_files_plan(files, in_directory("b"), "raw", 4, false, &err), -1);
    assert_int_equal(err.code, ERROR_REQUEST_INVALID);
    restore_files_undo(files);
    check_text(in_directory("a"), "old1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(new_disks_take_their_places, clean),
        cmocka_unit_test_teardown(old_disks_go_only_at_the_end, clean),
        cmocka_unit_test_teardown(undo_works_in_every_state, clean),
        cmocka_unit_test_teardown(recovery_undoes_an_earlier_life, clean),
        cmocka_unit_test_teardown(a_disk_in_use_stays, clean),
        cmocka_unit_test_teardown(without_a_journal_the_old_disks_stay, clean),
        cmocka_unit_test_teardown(bad_places_are_refused, clean),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
