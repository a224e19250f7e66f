/* Snapshots on hosts in the catalog: what hosts report, what they are told, what can be restored. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/catalog/catalog_snapshots.h"

static const int64_t day_ms = (int64_t)24 * 3600 * 1000;
static const char first[] = "aaaaaaaa-0000-4000-8000-000000000001";
static const char second[] = "aaaaaaaa-0000-4000-8000-000000000002";

static struct catalog_snapshot snapshot_of(const char *point, const char *vm, const char *job, int64_t days)
{
    int64_t now = clock_wall_ms();
    return (struct catalog_snapshot){.point_id = point,
                                     .vm_uuid = vm,
                                     .vm_name = vm,
                                     .kind = "kvm",
                                     .job_id = job,
                                     .consistency = "filesystem",
                                     .time_ms = now,
                                     .until_ms = now + days * day_ms,
                                     .size = 1048576,
                                     .disks = "[]"};
}

static void report(struct catalog_world *world, const char *host, const struct catalog_snapshot *snapshots,
                   size_t count)
{
    struct error err;
    check(catalog_snapshot_report(world->catalog, host, snapshots, count, &err), err);
}

static size_t restorable(struct catalog_world *world, const char *vm_id)
{
    struct error err;
    const struct catalog_point *points = NULL;
    size_t count = 0;
    const struct catalog_point_filter filter = {.vm_id = vm_id};
    const struct catalog_page page = {0};
    check(catalog_restorable_list(world->catalog, world->arena, &filter, &page, &points, &count, &err), err);
    return count;
}

static const struct catalog_snapshot_limit *limits(struct catalog_world *world, const char *host,
                                                   size_t *count)
{
    struct error err;
    const struct catalog_snapshot_limit *items = NULL;
    check(catalog_snapshot_limits(world->catalog, world->arena, host, &items, count, &err), err);
    return items;
}

static void two_hosts(struct catalog_world *world)
{
    world_host(world, "h1", "alpha");
    world_host(world, "h2", "beta");
    world_report(world, "h1", "", (const char *const[]){"web", "db", NULL});
}

static void a_report_replaces_the_former_one(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    two_hosts(world);
    struct catalog_snapshot both[] = {snapshot_of(first, "web", "j1", 2), snapshot_of(second, "db", "j2", 2)};
    report(world, "h1", both, 2);
    assert_int_equal(restorable(world, NULL), 2);
    assert_int_equal(restorable(world, world_vm(world, "web")->id), 1);
    const struct catalog_point *point = catalog_restorable_find(world->catalog, world->arena, first, &err);
    assert_non_null(point);
    assert_true(point->snapshot.host_only);
    assert_string_equal(point->snapshot.host_name, "alpha");
    assert_string_equal(point->job_id, "j1");
    assert_null(catalog_restorable_find(world->catalog, world->arena, "aaaaaaaa", &err)); /* of two */
    assert_null(catalog_stored_find(world->catalog, world->arena, first, &err));
    assert_int_equal(err.code, ERROR_RP_ON_HOST_ONLY);
    report(world, "h2", NULL, 0); /* another host's says nothing of these */
    assert_int_equal(restorable(world, NULL), 2);
    report(world, "h1", &both[1], 1);
    assert_int_equal(restorable(world, NULL), 1);
    assert_null(catalog_restorable_find(world->catalog, world->arena, first, &err));
    assert_int_equal(err.code, ERROR_RP_NOT_FOUND);
    assert_non_null(catalog_restorable_find(world->catalog, world->arena, "aaaaaaaa", &err));
}

static void a_host_speaks_of_its_own_vms_only(void **state)
{
    struct catalog_world *world = *state;
    two_hosts(world);
    struct catalog_snapshot own = snapshot_of(first, "web", "j1", 2);
    struct catalog_snapshot unknown = snapshot_of(second, "ghost", "j2", 2);
    report(world, "h1", &unknown, 1);
    report(world, "h2", &own, 1); /* web is alpha's */
    assert_int_equal(restorable(world, NULL), 0);
    report(world, "h1", &own, 1);
    world_report(world, "h2", "", (const char *const[]){"copy", NULL});
    struct catalog_snapshot taken = snapshot_of(first, "copy", "j3", 2);
    report(world, "h2", &taken, 1); /* the id is another host's */
    struct error err;
    const struct catalog_point *point = catalog_restorable_find(world->catalog, world->arena, first, &err);
    assert_non_null(point);
    assert_string_equal(point->vm_name, "web");
}

static void what_is_over_or_unwanted_is_not_listed(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    const char *point = NULL;
    int64_t until_ms = 0;
    two_hosts(world);
    struct catalog_snapshot over = snapshot_of(first, "web", "j1", -1);
    struct catalog_snapshot good = snapshot_of(second, "web", "j2", 2);
    check(catalog_snapshot_put(world->catalog, "h1", &over, &err), err);
    assert_int_equal(restorable(world, NULL), 0);
    check(catalog_snapshot_put(world->catalog, "h1", &good, &err), err);
    assert_int_equal(restorable(world, NULL), 1);
    check(catalog_snapshot_of_job(world->catalog, world->arena, "j2", "h1", &point, &until_ms, &err), err);
    assert_string_equal(point, second);
    assert_int_equal(until_ms, good.until_ms);
    check(catalog_snapshot_of_job(world->catalog, world->arena, "j2", "h2", &point, &until_ms, &err), err);
    assert_null(point);
    check(catalog_snapshot_set_unwanted(world->catalog, second, &err), err);
    check(catalog_snapshot_set_unwanted(world->catalog, "nothing", &err), err);
    assert_int_equal(restorable(world, NULL), 0);
    check(catalog_snapshot_of_job(world->catalog, world->arena, "j2", "h1", &point, &until_ms, &err), err);
    assert_null(point);
}

static void hosts_are_told_what_the_policies_say(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    size_t count = 0;
    two_hosts(world);
    const char *group =
        world_group(world, "group", world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00"));
    const char *vm = world_vm(world, "web")->id;
    check(catalog_group_add(world->catalog, group, vm, &err), err);
    struct catalog_snapshot both[] = {snapshot_of(first, "web", "j1", 2), snapshot_of(second, "db", "j2", 2)};
    report(world, "h1", both, 2); /* 2 days is what a policy says that says nothing */
    const struct catalog_snapshot_limit *told = limits(world, "h1", &count);
    assert_int_equal(count, 1);
    assert_string_equal(told[0].point_id, second); /* db is not protected */
    assert_int_equal(told[0].until_ms, 1);
    both[0].until_ms = both[0].time_ms + 5 * day_ms;
    report(world, "h1", both, 1);
    told = limits(world, "h1", &count);
    assert_int_equal(count, 1);
    assert_int_equal(told[0].until_ms, both[0].time_ms + 2 * day_ms);
    assert_null(limits(world, "h2", &count));
    assert_int_equal(count, 0);
    check(catalog_group_remove(world->catalog, group, vm, &err), err);
    told = limits(world, "h1", &count);
    assert_int_equal(count, 1);
    assert_int_equal(told[0].until_ms, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_report_replaces_the_former_one, world_begin, world_end),
        cmocka_unit_test_setup_teardown(a_host_speaks_of_its_own_vms_only, world_begin, world_end),
        cmocka_unit_test_setup_teardown(what_is_over_or_unwanted_is_not_listed, world_begin, world_end),
        cmocka_unit_test_setup_teardown(hosts_are_told_what_the_policies_say, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
