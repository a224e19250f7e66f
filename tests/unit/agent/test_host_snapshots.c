/* What stays on the host is found again, goes in time, and not while it is in use. */
#include "snapshot_fixture.h"

static void keep(struct host_snapshots *snapshots, const char *point, const char *job, const char *clone,
                 int64_t instant_ms)
{
    struct error err;
    json_t *record = snapshot_record(point, job, clone, instant_ms);
    write_text(in_directory(clone), point);
    check(host_snapshots_note(snapshots, record, &err), err);
    check(host_snapshots_add(snapshots, record, &err), err);
    json_decref(record);
}

static void limit(struct host_snapshots *snapshots, const char *point, int64_t until_ms)
{
    Holdfast__SnapshotLimit one = HOLDFAST__SNAPSHOT_LIMIT__INIT;
    Holdfast__SnapshotLimit *list = &one;
    one.point = (char *)(uintptr_t)point;
    one.until_ms = until_ms;
    host_snapshots_limit(snapshots, &list, 1);
}

static void kept_ones_are_found_again_and_others_go(void **state)
{
    (void)state;
    struct error err;
    int64_t now = clock_wall_ms();
    struct host_snapshots *snapshots = snapshots_open(NULL);
    keep(snapshots, "p2", "j2", "two", now);
    keep(snapshots, "p1", "j1", "one", now - 1000);
    keep(snapshots, "p3", "j3", "three", now);
    keep(snapshots, "p4", "j4", "four", now - 6 * snapshot_day_ms); /* its time is over */
    json_t *unfinished = snapshot_record("p5", "j5", "five", now);
    write_text(in_directory("five"), "p5");
    check(host_snapshots_note(snapshots, unfinished, &err), err);
    json_decref(unfinished);
    host_snapshots_destroy(snapshots);
    check(os_path_remove(in_directory("three"), &err), err); /* somebody removed it */

    snapshots = snapshots_open(NULL);
    assert_false(os_path_exists(in_directory("five")));
    assert_null(host_snapshots_take(snapshots, "p3", NULL, &err));
    assert_int_equal(err.code, ERROR_SNAPSHOT_GONE);
    wait_until_gone(in_directory("snapshots/jobs/p4.json"));
    assert_false(os_path_exists(in_directory("four")));
    Holdfast__HostSnapshot **list = NULL;
    size_t count = 0;
    host_snapshots_list(snapshots, &list, &count);
    assert_int_equal(count, 2);
    assert_string_equal(list[0]->point, "p1"); /* the oldest first */
    assert_string_equal(list[1]->point, "p2");
    assert_string_equal(list[1]->job, "j2");
    assert_string_equal(list[1]->vm_name, "web");
    assert_int_equal(list[1]->n_disks, 1);
    assert_int_equal(list[1]->disks[0]->size, 4096);
    free_listed(list, count);
    assert_true(os_path_exists(in_directory("two")));
    host_snapshots_drop_job(snapshots, "j1");
    host_snapshots_drop_job(snapshots, "j2");
    host_snapshots_drop_job(snapshots, "nothing");
    assert_false(os_path_exists(in_directory("one")));
    assert_false(os_path_exists(in_directory("snapshots/jobs/p2.json")));
    host_snapshots_destroy(snapshots);
}

static void a_job_that_was_tried_again_keeps_one(void **state)
{
    (void)state;
    struct host_snapshots *snapshots = snapshots_open(NULL);
    keep(snapshots, "p1", "j1", "one", clock_wall_ms());
    keep(snapshots, "p2", "j1", "two", clock_wall_ms());
    assert_int_equal(snapshots_count(snapshots), 1);
    assert_false(os_path_exists(in_directory("one")));
    assert_true(os_path_exists(in_directory("two")));
    host_snapshots_drop_job(snapshots, "j1");
    host_snapshots_destroy(snapshots);
}

static void one_in_use_goes_with_its_last_user(void **state)
{
    (void)state;
    struct error err;
    json_t *first_record = NULL;
    json_t *second_record = NULL;
    struct host_snapshots *snapshots = snapshots_open(NULL);
    keep(snapshots, "p1", "j1", "one", clock_wall_ms());
    struct host_snapshot *first = host_snapshots_take(snapshots, "p1", &first_record, &err);
    struct host_snapshot *second = host_snapshots_take(snapshots, "p1", &second_record, &err);
    assert_ptr_equal(first, second);
    assert_true(json_equal(first_record, second_record));
    host_snapshots_drop_job(snapshots, "j1");
    assert_int_equal(snapshots_count(snapshots), 0);
    host_snapshots_give_back(snapshots, first);
    assert_true(os_path_exists(in_directory("one")));
    host_snapshots_give_back(snapshots, second);
    assert_false(os_path_exists(in_directory("one")));
    json_decref(first_record);
    json_decref(second_record);
    host_snapshots_destroy(snapshots);
}

static void the_server_says_how_long(void **state)
{
    (void)state;
    struct error err;
    int64_t now = clock_wall_ms();
    static const struct {
        int64_t days; /* that the server says, after the instant */
        int64_t stays;
    } cases[] = {{1, 1}, {3, 3}, {50, HOST_SNAPSHOTS_DAYS_MAX}};
    struct host_snapshots *snapshots = snapshots_open(NULL);
    keep(snapshots, "p1", "j1", "one", now);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *record = NULL;
        limit(snapshots, "p1", now + cases[i].days * snapshot_day_ms);
        struct host_snapshot *taken = host_snapshots_take(snapshots, "p1", &record, &err);
        assert_int_equal(json_integer_value(json_object_get(record, "until_ms")),
                         now + cases[i].stays * snapshot_day_ms);
        host_snapshots_give_back(snapshots, taken);
        json_decref(record);
    }
    host_snapshots_destroy(snapshots);
    snapshots = snapshots_open(NULL); /* it is durable */
    Holdfast__HostSnapshot **list = NULL;
    size_t count = 0;
    host_snapshots_list(snapshots, &list, &count);
    assert_int_equal(count, 1);
    assert_int_equal(list[0]->until_ms, now + HOST_SNAPSHOTS_DAYS_MAX * snapshot_day_ms);
    free_listed(list, count);
    limit(snapshots, "other", 1);
    assert_int_equal(snapshots_count(snapshots), 1);
    limit(snapshots, "p1", 1);
    assert_int_equal(snapshots_count(snapshots), 0);
    assert_false(os_path_exists(in_directory("one")));
    host_snapshots_destroy(snapshots);
}

static struct host_snapshots *with_config(const char *text, struct error *err)
{
    static const struct config_key keys[] = {HOST_SNAPSHOTS_CONFIG_KEYS, {NULL, NULL, NULL}};
    write_text(in_directory("agent.conf"), text);
    struct config *config = config_load(in_directory("agent.conf"), keys, err);
    assert_non_null(config);
    struct host_snapshots *snapshots = host_snapshots_create(directory, config, NULL, NULL, err);
    config_destroy(config);
    return snapshots;
}

static void settings_are_checked_and_heeded(void **state)
{
    (void)state;
    struct error err;
    assert_null(with_config("snapshot-free-percent = 101\n", &err));
    assert_int_equal(err.code, ERROR_CONFIG_INVALID);
    assert_null(with_config("snapshot-pause-ms = 0\n", &err));
    assert_int_equal(err.code, ERROR_CONFIG_INVALID);
    struct host_snapshots *snapshots =
        with_config("snapshot-free-percent = 100\nsnapshot-pause-ms = 7\n", &err);
    assert_non_null(snapshots);
    assert_int_equal(host_snapshots_pause_ms(snapshots), 7);
    host_snapshots_destroy(snapshots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_ones_are_found_again_and_others_go),
        cmocka_unit_test(a_job_that_was_tried_again_keeps_one),
        cmocka_unit_test(one_in_use_goes_with_its_last_user),
        cmocka_unit_test(the_server_says_how_long),
        cmocka_unit_test(settings_are_checked_and_heeded),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
