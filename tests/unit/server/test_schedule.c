/* Schedules in time zones, against mktime(3) of the C library, and the scheduler on a clock of the test's. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/protection/schedule.h"
#include "server/protection/scheduler.h"
#include <time.h>

enum { DAY_S = 86400 };

static int64_t at(const char *text)
{
    int64_t ms;
    assert_int_equal(clock_parse_wall(text, &ms), 0);
    return ms;
}

static void assert_next(const struct catalog_policy *policy, const char *after, const char *expected)
{
    struct error err;
    char got[CLOCK_TEXT_SIZE];
    char wanted[CLOCK_TEXT_SIZE];
    struct time_zone *zone = time_zone_open(policy->time_zone, &err);
    check(zone != NULL ? 0 : -1, err);
    clock_format_wall(schedule_next(policy, zone, at(after)), got);
    clock_format_wall(at(expected), wanted);
    time_zone_close(zone);
    assert_string_equal(got, wanted);
}

static void test_daily(void **state)
{
    (void)state;
    struct catalog_policy policy;
    policy_default(&policy);
    assert_next(&policy, "2026-01-31T21:59:59Z", "2026-01-31T22:00:00Z");
    assert_next(&policy, "2026-01-31T22:00:00Z", "2026-02-01T22:00:00Z");
    policy.daily_times = "06:00,22:00";
    assert_next(&policy, "2028-02-28T23:00:00Z", "2028-02-29T06:00:00Z");
    policy.days = 1 << 1; /* Mondays */
    assert_next(&policy, "2026-11-21T00:00:00Z", "2026-11-23T06:00:00Z");
}

static void test_changes_of_the_clock(void **state)
{
    (void)state;
    struct catalog_policy policy;
    policy_default(&policy);
    policy.time_zone = "Europe/Zurich";
    policy.daily_times = "02:30";
    /* 2026-03-29 has no 02:30: it runs when the clock jumps to 03:00 */
    assert_next(&policy, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
    assert_next(&policy, "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
    /* 2026-10-25 has it twice: it runs once, at the first */
    assert_next(&policy, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
    assert_next(&policy, "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    policy.time_zone = "America/New_York";
    policy.daily_times = "22:00";
    assert_next(&policy, "2026-07-01T00:00:00Z", "2026-07-01T02:00:00Z");
}

static void test_interval(void **state)
{
    (void)state;
    struct catalog_policy policy;
    policy_default(&policy);
    policy.schedule = SCHEDULE_INTERVAL;
    policy.interval_minutes = 15;
    assert_next(&policy, "2026-01-01T10:00:00Z", "2026-01-01T10:15:00Z");
    assert_next(&policy, "2026-01-01T10:14:59Z", "2026-01-01T10:15:00Z");
}

static void test_hours_and_days(void **state)
{
    (void)state;
    struct catalog_policy policy;
    policy_default(&policy);
    policy.schedule = SCHEDULE_HOURLY;
    policy.hour_minute = 15;
    policy.days = 1 << 1; /* Mondays */
    policy.time_zone = "Asia/Kolkata";
    assert_next(&policy, "2026-11-21T00:00:00Z", "2026-11-22T18:45:00Z");
    assert_next(&policy, "2026-11-23T17:45:00Z", "2026-11-29T18:45:00Z");
    policy.schedule = SCHEDULE_INTERVAL;
    policy.interval_minutes = 720;
    assert_next(&policy, "2026-11-21T00:00:00Z", "2026-11-23T00:00:00Z");
    policy.schedule = SCHEDULE_WEEKLY;
    policy.daily_times = "22:00";
    policy.time_zone = "UTC";
    assert_next(&policy, "2026-11-23T22:00:00Z", "2026-11-30T22:00:00Z");
}

static void test_wrong_schedules(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "24:00", "7:00", "07:60", "07:00,", "07:00,07:00", "07:00 08:00"};
    struct error err;
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(schedule_parse_times(wrong[i], minutes, &count, &err), -1);
        assert_int_equal(err.code, ERROR_SCHEDULE_INVALID);
    }
    assert_null(time_zone_open("Mars/Olympus", &err));
    assert_null(time_zone_open("../../../etc/passwd", &err));
    assert_null(time_zone_open("", &err));
}

/* Every hour of fifteen years in three zones: the offset is the C library's. */
static void test_offsets_agree_with_the_c_library(void **state)
{
    (void)state;
    static const char *const zones[] = {"Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "UTC"};
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        struct error err;
        struct time_zone *zone = time_zone_open(zones[i], &err);
        check(zone != NULL ? 0 : -1, err);
        setenv("TZ", zones[i], 1);
        tzset();
        int64_t first = at("2025-01-01") / 1000;
        for (int64_t utc = first; utc < first + 15LL * 365 * DAY_S; utc += 3600) {
            struct tm local;
            time_t when = utc;
            localtime_r(&when, &local);
            assert_int_equal(time_zone_offset(zone, utc), local.tm_gmtoff);
        }
        time_zone_close(zone);
    }
    unsetenv("TZ");
    tzset();
}

/* --- the scheduler */

static int count_start(void *cookie, const struct catalog_group *group, const struct catalog_vm *vm,
                       struct error *err)
{
    (void)group;
    (void)vm;
    (void)err;
    (*(unsigned *)cookie)++;
    return 0;
}

static unsigned look(struct catalog_world *world, int64_t now_ms)
{
    struct error err;
    unsigned started = 0;
    check(scheduler_look(world->catalog, now_ms, count_start, &started, &err), err);
    return started;
}

static int clocked_begin(void **state)
{
    clock_test_set(at("2026-01-01T12:00:00Z"));
    return world_begin(state);
}

static int clocked_end(void **state)
{
    clock_test_clear();
    return world_end(state);
}

static void protect(struct catalog_world *world, const char *policy_id)
{
    struct error err;
    world_host(world, "h1", "alpha");
    world_report(world, "h1", "", (const char *const[]){"a", "b", NULL});
    const char *group = world_group(world, "web", policy_id);
    check(catalog_group_add(world->catalog, group, world_vm(world, "a")->id, &err), err);
    check(catalog_group_add(world->catalog, group, world_vm(world, "b")->id, &err), err);
}

static void test_runs_when_due_and_once(void **state)
{
    struct catalog_world *world = *state;
    protect(world, world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00"));
    assert_int_equal(look(world, at("2026-01-01T21:59:59Z")), 0);
    assert_int_equal(look(world, at("2026-01-01T22:00:00Z")), 2);
    assert_int_equal(look(world, at("2026-01-01T22:00:01Z")), 0);
    assert_int_equal(look(world, at("2026-01-02T22:00:00Z")), 2);
}

/* Killed when only one of two jobs was stored: the other VM is not forgotten, and the first not started
 * twice. */
static void test_killed_while_starting(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    protect(world, world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00"));
    struct catalog_job job = {.id = "j1",
                              .vm_id = world_vm(world, "a")->id,
                              .requested_by = "schedule",
                              .created_ms = at("2026-01-01T22:00:01Z")};
    check(catalog_job_insert(world->catalog, &job, &err), err);
    assert_int_equal(look(world, at("2026-01-01T22:00:05Z")), 1);
    assert_int_equal(look(world, at("2026-01-01T22:00:06Z")), 0);
    assert_int_equal(look(world, at("2026-01-02T22:00:00Z")), 2);
}

static void test_missed_runs_are_made_up_for_once(void **state)
{
    struct catalog_world *world = *state;
    protect(world, world_policy(world, "often", SCHEDULE_INTERVAL, 15, ""));
    assert_int_equal(look(world, at("2026-01-01T12:15:00Z")), 2);
    assert_int_equal(look(world, at("2026-01-04T00:07:00Z")), 2);
    assert_int_equal(look(world, at("2026-01-04T00:08:00Z")), 0);
    assert_int_equal(look(world, at("2026-01-04T00:15:00Z")), 2);
}

static void test_clock_set_back(void **state)
{
    struct catalog_world *world = *state;
    protect(world, world_policy(world, "often", SCHEDULE_INTERVAL, 15, ""));
    assert_int_equal(look(world, at("2036-01-01T12:15:00Z")), 2);
    assert_int_equal(look(world, at("2026-01-01T12:15:00Z")), 0);
    assert_int_equal(look(world, at("2026-01-01T12:30:00Z")), 2);
}

static void test_spread_is_kept_to(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    struct catalog_policy policy;
    char id[IDENTITY_SIZE];
    policy_default(&policy);
    policy.name = "spread";
    policy.spread_minutes = 60;
    check(policy_create(world->catalog, &policy, id, &err), err);
    protect(world, id);
    unsigned started = 0;
    for (int64_t now = at("2026-01-01T21:00:00Z"); now < at("2026-01-02T21:00:00Z"); now += 30000) {
        unsigned more = look(world, now);
        assert_true(more == 0 || (now >= at("2026-01-01T22:00:00Z") && now < at("2026-01-01T23:00:30Z")));
        started += more;
    }
    assert_int_equal(started, 2);
}

static void edit(struct catalog_world *world, const char *id, const char *times, unsigned keep_days)
{
    struct error err;
    const struct catalog_policy *now = catalog_policy_find(world->catalog, world->arena, id, &err);
    check(now != NULL ? 0 : -1, err);
    struct catalog_policy changed = *now;
    changed.daily_times = times;
    changed.keep_days = keep_days;
    check(policy_edit(world->catalog, now, &changed, &err), err);
    assert_int_equal(policy_edit(world->catalog, now, &changed, &err), -1); /* not the version in force */
    assert_int_equal(err.code, ERROR_POLICY_CHANGED);
}

static void test_only_a_new_schedule_has_missed_nothing(void **state)
{
    struct catalog_world *world = *state;
    const char *id = world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00");
    protect(world, id);
    clock_test_set(at("2026-01-01T22:00:00Z") + 500);
    edit(world, id, "22:00", 7); /* just before the scheduler looks */
    assert_int_equal(look(world, at("2026-01-01T22:00:01Z")), 2);
    clock_test_set(at("2026-01-02T21:00:00Z"));
    edit(world, id, "20:00", 7);
    assert_int_equal(look(world, at("2026-01-02T22:00:01Z")), 0);
    assert_int_equal(look(world, at("2026-01-03T20:00:00Z")), 2);
}

static void test_who_joins_an_empty_group_has_missed_nothing(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    world_host(world, "h1", "alpha");
    world_report(world, "h1", "", (const char *const[]){"a", NULL});
    const char *group = world_group(world, "web", world_policy(world, "nightly", SCHEDULE_DAILY, 0, "22:00"));
    assert_int_equal(look(world, at("2026-01-01T22:00:00Z")), 0);
    check(catalog_group_add(world->catalog, group, world_vm(world, "a")->id, &err), err);
    assert_int_equal(look(world, at("2026-01-01T22:00:01Z")), 0);
    assert_int_equal(look(world, at("2026-01-02T22:00:00Z")), 1);
}

#define CLOCKED(test) cmocka_unit_test_setup_teardown(test, clocked_begin, clocked_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_daily),
        cmocka_unit_test(test_changes_of_the_clock),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_hours_and_days),
        cmocka_unit_test(test_wrong_schedules),
        cmocka_unit_test(test_offsets_agree_with_the_c_library),
        CLOCKED(test_runs_when_due_and_once),
        CLOCKED(test_killed_while_starting),
        CLOCKED(test_missed_runs_are_made_up_for_once),
        CLOCKED(test_clock_set_back),
        CLOCKED(test_spread_is_kept_to),
        CLOCKED(test_only_a_new_schedule_has_missed_nothing),
        CLOCKED(test_who_joins_an_empty_group_has_missed_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
