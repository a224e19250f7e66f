/* Deleted points in the catalog, and what retention plans by what is in it. */
#include "catalog_fixture.h"

#include "server/protection/standing.h"

#include "base/clock.h"
#include "server/catalog/catalog_deletion.h"
#include "server/protection/retention.h"

enum { POINTS = 4, HOUR_MS = 3600 * 1000 };

struct shelf {
    struct catalog_world *world;
    const struct catalog_vm *vm;
    const char *group_id;
    const char *policy_id;
    const char *points[POINTS]; /* oldest first */
};

/* A VM in a group of a policy, with one point an hour. */
static void shelf_fill(struct shelf *shelf, struct catalog_world *world)
{
    static const char *const names[] = {"web1", NULL};
    struct error err;
    *shelf = (struct shelf){.world = world};
    world_host(world, "11111111-1111-4111-8111-111111111111", "kvm1");
    world_report(world, "11111111-1111-4111-8111-111111111111", "", names);
    shelf->vm = world_vm(world, "web1");
    shelf->policy_id = world_policy(world, "gold", SCHEDULE_MANUAL, 0, "");
    shelf->group_id = world_group(world, "first", shelf->policy_id);
    check(catalog_group_add(world->catalog, shelf->group_id, shelf->vm->id, &err), err);
    for (size_t i = 0; i < POINTS; i++) {
        char *id = arena_alloc(world->arena, IDENTITY_SIZE);
        identity_create(id);
        struct catalog_point point = {.id = id,
                                      .vm_id = shelf->vm->id,
                                      .vm_name = "web1",
                                      .mode = "full",
                                      .consistency = "crash",
                                      .time_ms = clock_wall_ms() - (int64_t)(POINTS - i) * HOUR_MS};
        shelf->points[i] = id;
        check(catalog_begin(world->catalog, &err), err);
        check(catalog_point_insert(world->catalog, &point, NULL, 0, &err), err);
        check(catalog_commit(world->catalog, &err), err);
    }
}

static size_t count_points(struct catalog_world *world, enum catalog_points_which which)
{
    struct error err;
    struct catalog_point_filter filter = {.which = which};
    const struct catalog_point *points;
    size_t count;
    check(catalog_point_list(world->catalog, world->arena, &filter, NULL, &points, &count, &err), err);
    filter.vm_id = world_vm(world, "web1")->id;
    size_t of_vm;
    check(catalog_point_list(world->catalog, world->arena, &filter, NULL, &points, &of_vm, &err), err);
    assert_int_equal(count, of_vm);
    return count;
}

static void test_deleted_and_back(void **state)
{
    struct shelf shelf;
    struct error err;
    uint64_t others;
    shelf_fill(&shelf, *state);
    struct catalog *catalog = shelf.world->catalog;
    struct catalog_deletion deletion = {
        .deleted_ms = 10, .purge_ms = 20, .by = "anna", .group_id = shelf.group_id};
    check(catalog_point_soft_delete(catalog, shelf.points[3], &deletion, &err), err);
    assert_int_equal(count_points(shelf.world, CATALOG_POINTS_LIVE), 3);
    assert_int_equal(count_points(shelf.world, CATALOG_POINTS_DELETED), 1);
    assert_int_equal(count_points(shelf.world, CATALOG_POINTS_ALL), 4);
    assert_int_equal(world_vm(shelf.world, "web1")->point_count, 3);
    assert_string_equal(world_vm(shelf.world, "web1")->last_point_id, shelf.points[2]);
    const struct catalog_point *newest;
    check(catalog_point_newest(catalog, shelf.world->arena, shelf.vm->id, &newest, &err), err);
    assert_string_equal(newest->id, shelf.points[3]); /* the next backup builds on it all the same */
    assert_string_equal(newest->deleted_by, "anna");
    assert_int_equal(catalog_point_check_live(newest, &err), -1);
    assert_int_equal(err.code, ERROR_RP_DELETED);
    check(catalog_point_count_other_good(catalog, shelf.vm->id, shelf.points[0], &others, &err), err);
    assert_int_equal(others, 2);

    deletion = (struct catalog_deletion){.deleted_ms = 11, .purge_ms = 99, .by = "bert"};
    check(catalog_point_soft_delete(catalog, shelf.points[3], &deletion, &err), err); /* stays as it was */
    const char *const *ids;
    size_t count;
    check(catalog_point_list_purgeable(catalog, shelf.world->arena, 19, &ids, &count, &err), err);
    assert_int_equal(count, 0);
    check(catalog_point_list_purgeable(catalog, shelf.world->arena, 20, &ids, &count, &err), err);
    assert_int_equal(count, 1);
    check(catalog_point_list_deleted_with(catalog, shelf.world->arena, shelf.group_id, &ids, &count, &err),
          err);
    assert_int_equal(count, 1);
    check(catalog_point_undelete(catalog, shelf.points[3], &err), err);
    assert_int_equal(catalog_point_undelete(catalog, shelf.points[3], &err), -1);
    assert_int_equal(err.code, ERROR_RP_NOT_FOUND);
    assert_int_equal(count_points(shelf.world, CATALOG_POINTS_LIVE), 4);
    check(catalog_point_list_deleted_with(catalog, shelf.world->arena, shelf.group_id, &ids, &count, &err),
          err);
    assert_int_equal(count, 0);
}

static void test_held_is_not_deleted(void **state)
{
    struct shelf shelf;
    struct error err;
    shelf_fill(&shelf, *state);
    struct catalog_deletion deletion = {.deleted_ms = 10, .purge_ms = 20, .by = "anna"};
    check(catalog_point_set_held(shelf.world->catalog, shelf.points[0], true, &err), err);
    check(catalog_point_soft_delete(shelf.world->catalog, shelf.points[0], &deletion, &err), err);
    assert_int_equal(count_points(shelf.world, CATALOG_POINTS_DELETED), 0);
}

static size_t plan_kept(struct shelf *shelf, const struct catalog_policy *changed, unsigned *newest_reasons)
{
    struct error err;
    struct retention_time time;
    struct retention_plan plan;
    size_t kept = 0;
    check(retention_time_read(shelf->world->catalog, &time, &err), err);
    check(retention_plan_vm(shelf->world->catalog, shelf->world->arena, world_vm(shelf->world, "web1"),
                            changed, &time, &plan, &err),
          err);
    for (size_t i = 0; i < plan.count; i++) {
        kept += plan.reasons[i] != 0;
    }
    *newest_reasons = plan.reasons[0];
    return kept;
}

static int count_visit(void *cookie, const struct catalog_vm *vm, const struct catalog_point *point)
{
    (void)point;
    assert_string_equal(vm->name, "web1");
    (*(size_t *)cookie)++;
    return 0;
}

static void test_plan(void **state)
{
    struct shelf shelf;
    struct error err;
    unsigned newest;
    shelf_fill(&shelf, *state);
    struct catalog *catalog = shelf.world->catalog;
    assert_int_equal(plan_kept(&shelf, NULL, &newest), 4); /* 30 days */
    struct catalog_policy changed = *catalog_policy_find(catalog, shelf.world->arena, shelf.policy_id, &err);
    changed.keep_days = 0;
    changed.keep_latest = 2;
    assert_int_equal(plan_kept(&shelf, &changed, &newest), 2);
    assert_int_equal(newest, RETENTION_LAST | RETENTION_LATEST);
    size_t visited = 0;
    check(retention_preview(catalog, &changed, count_visit, &visited, &err), err);
    assert_int_equal(visited, 2);
    struct catalog_policy another = changed;
    another.id = "another";
    assert_int_equal(plan_kept(&shelf, &another, &newest), 4);

    struct catalog_group group = *catalog_group_find(catalog, shelf.world->arena, shelf.group_id, &err);
    group.stopped = true;
    check(catalog_group_update(catalog, &group, &err), err);
    assert_int_equal(plan_kept(&shelf, &changed, &newest), 4);
    assert_int_equal(newest, RETENTION_ALWAYS);
    assert_string_equal(vm_state_name(vm_state_of(world_vm(shelf.world, "web1"))), "stopped");
    visited = 0;
    check(retention_preview(catalog, &changed, count_visit, &visited, &err), err);
    assert_int_equal(visited, 0);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_begin, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_deleted_and_back),
        WITH_WORLD(test_held_is_not_deleted),
        WITH_WORLD(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
