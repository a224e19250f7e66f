/* How VMs stand: state, recovery point objective, and the plans of the lists that show it. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/catalog/catalog_deletion.h"
#include "server/protection/standing.h"
#include "sql/statements.h"
#include <sqlite3.h>

#define HOUR_MS ((int64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)
#define SUNDAY_MS ((int64_t)1769904000000) /* 2026-02-01T00:00:00Z */

static void add_point(struct catalog_world *world, const char *id, const struct catalog_vm *vm,
                      int64_t time_ms)
{
    struct error err;
    struct catalog_point point = {.id = id, .vm_id = vm->id, .time_ms = time_ms, .committed_ms = time_ms};
    check(catalog_point_insert(world->catalog, &point, NULL, 0, &err), err);
}

static void add_backup(struct catalog_world *world, const struct catalog_vm *vm, enum job_type type,
                       enum job_state state, enum job_phase_state transfer)
{
    struct error err;
    char id[IDENTITY_SIZE];
    identity_create(id);
    struct catalog_job job = {.id = id,
                              .type = type,
                              .state = state,
                              .transfer_state = transfer,
                              .vm_id = vm->id,
                              .requested_by = "schedule",
                              .created_ms = 1,
                              .finished_ms = 2};
    check(catalog_job_insert(world->catalog, &job, &err), err);
}

/* The list's state, and the same by counting. */
static void expect_state(struct catalog_world *world, enum vm_state state)
{
    struct error err;
    struct standing_counts counts;
    struct rpo_rules *rules = rpo_rules_read(world->catalog, 0, 1, &err);
    assert_non_null(rules);
    check(standing_count(world->catalog, rules, NULL, &counts, &err), err);
    rpo_rules_free(rules);
    assert_string_equal(vm_state_name(vm_state_of(world_vm(world, "web1"))), vm_state_name(state));
    assert_int_equal(counts.vms[state], 1);
}

static void a_vm_fails_also_without_a_point(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    world_host(world, "h1", "alpha");
    world_report(world, "h1", " ", (const char *const[]){"web1", NULL});
    const struct catalog_vm *vm = world_vm(world, "web1");
    expect_state(world, VM_UNPROTECTED);
    const char *policy = world_policy(world, "daily", SCHEDULE_DAILY, 0, "22:00");
    struct catalog_group group = {
        .id = world_group(world, "web", policy), .name = "web", .policy_id = policy};
    check(catalog_group_add(world->catalog, group.id, vm->id, &err), err);
    expect_state(world, VM_WAITING);
    add_backup(world, vm, JOB_BACKUP, JOB_FAILED, JOB_PHASE_FAILED);
    expect_state(world, VM_FAILING);
    add_backup(world, vm, JOB_BACKUP, JOB_CANCELLED, JOB_PHASE_NONE);
    add_backup(world, vm, JOB_BACKUP, JOB_COMPLETED, JOB_PHASE_SKIPPED);
    add_backup(world, vm, JOB_RESTORE, JOB_COMPLETED, JOB_PHASE_COMPLETED);
    expect_state(world, VM_FAILING);
    add_backup(world, vm, JOB_CHECK, JOB_COMPLETED_WITH_WARNINGS, JOB_PHASE_COMPLETED);
    expect_state(world, VM_WAITING);
    add_point(world, "point-one", vm, 1000);
    expect_state(world, VM_PROTECTED);
    check(catalog_point_set_verified(world->catalog, "point-one", true, &err), err);
    expect_state(world, VM_WAITING);
    check(catalog_point_set_verified(world->catalog, "point-one", false, &err), err);
    add_backup(world, vm, JOB_BACKUP, JOB_FAILED, JOB_PHASE_FAILED);
    expect_state(world, VM_FAILING);
    world_report(world, "h1", " ", (const char *const[]){NULL});
    expect_state(world, VM_VANISHED);
    group.stopped = true;
    check(catalog_group_update(world->catalog, &group, &err), err);
    expect_state(world, VM_STOPPED);
}

/* The newest point is years old, and the group was stopped for as long. */
static void a_resumed_group_has_missed_nothing_yet(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    struct standing_counts counts;
    world_host(world, "h1", "alpha");
    world_report(world, "h1", " ", (const char *const[]){"web1", NULL});
    const struct catalog_vm *vm = world_vm(world, "web1");
    const char *policy = world_policy(world, "daily", SCHEDULE_DAILY, 0, "22:00");
    struct catalog_group group = {
        .id = world_group(world, "web", policy), .name = "web", .policy_id = policy};
    check(catalog_group_add(world->catalog, group.id, vm->id, &err), err);
    add_point(world, "point-one", vm, 1000);
    for (int stopped = 1; stopped >= 0; stopped--) {
        group.stopped = stopped;
        check(catalog_group_update(world->catalog, &group, &err), err);
    }
    int64_t resumed_ms = clock_wall_ms();
    for (int later = 0; later < 2; later++) {
        int64_t now_ms = resumed_ms + (later ? INT64_C(3) * 86400000 : 1000);
        struct rpo_rules *rules = rpo_rules_read(world->catalog, 3600000, now_ms, &err);
        assert_non_null(rules);
        check(standing_count(world->catalog, rules, NULL, &counts, &err), err);
        rpo_rules_free(rules);
        assert_int_equal(counts.rpo[later ? RPO_MISSED : RPO_MET], 1);
    }
}

struct rpo_case {
    enum schedule_kind kind;
    unsigned minutes;
    const char *times;
    unsigned days;
    int64_t last_ms; /* of the newest point */
    int64_t late_ms; /* when it is missed; 0: never */
};

static void check_case(struct catalog_world *world, const struct rpo_case *one, int number)
{
    enum { GRACE_MS = 3600 * 1000, SPREAD_MINUTES = 30 };
    struct error err;
    struct catalog_policy policy;
    char id[IDENTITY_SIZE];
    policy_default(&policy);
    policy.name = arena_format(world->arena, "policy%d", number);
    policy.schedule = one->kind;
    policy.interval_minutes = one->minutes;
    policy.hour_minute = one->minutes;
    policy.daily_times = one->times;
    policy.days = one->days;
    policy.spread_minutes = SPREAD_MINUTES;
    policy.id = id;
    identity_create(id);
    check(catalog_policy_insert(world->catalog, &policy, &err), err);
    struct rpo_subject vm = {.policy_id = id, .protected_ms = SUNDAY_MS, .last_point_ms = one->last_ms};
    int64_t since_ms = one->last_ms > 0 ? one->last_ms : SUNDAY_MS;
    int64_t at_ms = one->late_ms > 0 ? one->late_ms : SUNDAY_MS + 1000 * DAY_MS;
    struct rpo_rules *before = rpo_rules_read(world->catalog, GRACE_MS, at_ms, &err);
    struct rpo_rules *after = rpo_rules_read(world->catalog, GRACE_MS, at_ms + 1, &err);
    assert_non_null(before);
    assert_non_null(after);
    if (one->late_ms == 0) {
        assert_int_equal(rpo_judge(after, &vm), RPO_NONE);
        assert_int_equal(rpo_allowed_ms(after, &vm), 0);
    } else {
        assert_int_equal(rpo_judge(before, &vm), one->last_ms > 0 ? RPO_MET : RPO_WAITING);
        assert_int_equal(rpo_judge(after, &vm), RPO_MISSED);
        assert_int_equal(rpo_allowed_ms(before, &vm), one->late_ms - since_ms);
        assert_false(rpo_gap_is_missed(after, id, since_ms, at_ms));
        assert_true(rpo_gap_is_missed(after, id, since_ms, at_ms + 1));
        /* What is known of one VM must not change what is said of the next. */
        struct rpo_subject newer = {.policy_id = id, .protected_ms = SUNDAY_MS, .last_point_ms = at_ms - 1};
        assert_int_equal(rpo_judge(after, &newer), RPO_MET);
        assert_int_equal(rpo_judge(after, &vm), RPO_MISSED);
        vm.stopped = true;
        assert_int_equal(rpo_judge(after, &vm), RPO_NONE);
    }
    rpo_rules_free(before);
    rpo_rules_free(after);
}

/* The next instant, half an hour of spread, an hour of grace. */
static void points_are_missed_by_the_schedule(void **state)
{
    enum { EVERY_DAY = 127, WEEKDAYS = 62, MONDAY = 2 };
    const int64_t more = 90 * 60000;
    const int64_t ten = 22 * HOUR_MS;
    const struct rpo_case cases[] = {
        {SCHEDULE_DAILY, 0, "22:00", EVERY_DAY, 0, SUNDAY_MS + ten + more},
        {SCHEDULE_DAILY, 0, "22:00", EVERY_DAY, SUNDAY_MS + ten + 1, SUNDAY_MS + DAY_MS + ten + more},
        {SCHEDULE_DAILY, 0, "06:00,22:00", EVERY_DAY, SUNDAY_MS + ten + 1,
         SUNDAY_MS + DAY_MS + 6 * HOUR_MS + more},
        {SCHEDULE_WEEKLY, 0, "22:00", WEEKDAYS, SUNDAY_MS + 5 * DAY_MS + ten + 1,
         SUNDAY_MS + 8 * DAY_MS + ten + more},
        {SCHEDULE_WEEKLY, 0, "00:00", MONDAY, SUNDAY_MS + DAY_MS, SUNDAY_MS + 8 * DAY_MS + more},
        {SCHEDULE_HOURLY, 15, "", EVERY_DAY, SUNDAY_MS + HOUR_MS, SUNDAY_MS + HOUR_MS + 15 * 60000 + more},
        {SCHEDULE_INTERVAL, 60, "", EVERY_DAY, SUNDAY_MS + 1, SUNDAY_MS + HOUR_MS + more},
        {SCHEDULE_MANUAL, 0, "", EVERY_DAY, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(*state, &cases[i], (int)i);
    }
}

/* --- lists */

static const enum sql_query lists[] = {
    SQL_VM_LIST,
    SQL_VM_LIST_OF_HOST,
    SQL_VM_LIST_OF_GROUP,
    SQL_VM_BY_ID,
    SQL_GROUP_LIST,
    SQL_HOST_LIST,
    SQL_POINT_LIST,
    SQL_POINT_LIST_OF_VM,
    SQL_RESTORABLE_NUMBERS,
    SQL_RESTORABLE_NUMBERS_OF_VM,
    SQL_RESTORABLE_BY_NUMBER,
    SQL_RESTORABLE_BY_ID,
    SQL_STANDING_VMS,
    SQL_COUNT_JOBS,
    SQL_REPORT_OLDEST_POINT,
    SQL_ALERT_VMS,
};

/* Scanned may be what a subquery with a limit gave, and an index for its first entry. */
static bool is_big(const char *what)
{
    static const char *const small[] = {"SCAN (subquery", "SCAN restorable_points",
                                        "SCAN recovery_points USING COVERING INDEX recovery_points_time"};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        if (strncmp(what, small[i], strlen(small[i])) == 0) {
            return false;
        }
    }
    return strncmp(what, "SCAN", strlen("SCAN")) == 0;
}

static void lists_walk_indexes(void **state)
{
    struct catalog_world *world = *state;
    sqlite3 *database;
    assert_int_equal(sqlite3_open(world->path, &database), SQLITE_OK);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char *text = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql_queries[lists[i]]);
        sqlite3_stmt *plan;
        assert_int_equal(sqlite3_prepare_v2(database, text, -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *what = (const char *)sqlite3_column_text(plan, 3);
            if (is_big(what)) {
                fail_msg("%s: %s", sql_query_names[lists[i]], what);
            }
        }
        sqlite3_finalize(plan);
        sqlite3_free(text);
    }
    sqlite3_close(database);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_vm_fails_also_without_a_point, world_begin, world_end),
        cmocka_unit_test_setup_teardown(a_resumed_group_has_missed_nothing_yet, world_begin, world_end),
        cmocka_unit_test_setup_teardown(points_are_missed_by_the_schedule, world_begin, world_end),
        cmocka_unit_test_setup_teardown(lists_walk_indexes, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
