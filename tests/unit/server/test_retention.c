/* Which points stay, and why. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/retention.h"

enum { POINTS = 800, HOUR_MS = 3600 * 1000 };

struct scene {
    struct catalog_policy policy;
    struct time_zone *zone;
    struct catalog_point points[POINTS]; /* newest first, one an hour by default */
    unsigned reasons[POINTS];
    size_t count;
    int64_t now_ms;
};

static int begin(void **state)
{
    struct error err;
    struct scene *scene = memory_zalloc(sizeof *scene);
    policy_default(&scene->policy);
    scene->policy.keep_days = 0;
    scene->zone = time_zone_open("UTC", &err);
    clock_parse_wall("2026-03-01T12:00:00Z", &scene->now_ms);
    scene->count = POINTS;
    for (size_t i = 0; i < POINTS; i++) {
        scene->points[i].time_ms = scene->now_ms - (int64_t)i * HOUR_MS;
    }
    *state = scene;
    return 0;
}

static int end(void **state)
{
    struct scene *scene = *state;
    time_zone_close(scene->zone);
    free(scene);
    return 0;
}

static size_t decide(struct scene *scene, unsigned reason)
{
    size_t kept = 0;
    struct retention_time time = {.now_ms = scene->now_ms, .lock_ms = scene->now_ms};
    retention_decide(&scene->policy, scene->zone, scene->points, scene->count, &time, scene->reasons);
    for (size_t i = 0; i < scene->count; i++) {
        kept += (scene->reasons[i] & reason) != 0;
    }
    return kept;
}

static void test_days(void **state)
{
    struct scene *scene = *state;
    scene->policy.keep_days = 2;
    assert_int_equal(decide(scene, ~0u), 48);
}

static void test_counts(void **state)
{
    struct scene *scene = *state;
    scene->policy.keep_latest = 3;
    scene->policy.keep_daily = 7;
    scene->policy.keep_weekly = 4;
    scene->policy.keep_monthly = 12;
    assert_int_equal(decide(scene, RETENTION_LATEST), 3);
    assert_int_equal(decide(scene, RETENTION_DAILY), 7);
    assert_int_equal(decide(scene, RETENTION_WEEKLY), 4);
    assert_int_equal(decide(scene, RETENTION_MONTHLY), 3); /* January, February, March */
    assert_true(scene->reasons[13] & RETENTION_MONTHLY);   /* 23:00 of the last of February */
    assert_true(scene->reasons[13] & RETENTION_DAILY);
}

static void test_last_whole_point_never_goes(void **state)
{
    struct scene *scene = *state;
    scene->policy.keep_days = 1;
    scene->now_ms += 400LL * 24 * HOUR_MS;
    scene->points[0].damaged = true;
    assert_int_equal(decide(scene, ~0u), 1);
    assert_int_equal(scene->reasons[1], RETENTION_LAST);
    scene->count = 1;
    assert_int_equal(decide(scene, RETENTION_LAST), 1);
}

static void test_holds_and_dates(void **state)
{
    struct scene *scene = *state;
    scene->policy.keep_latest = 1;
    scene->points[100].held = true;
    scene->points[200].retain_until_ms = scene->now_ms + 1;
    scene->points[300].retain_until_ms = scene->now_ms;
    assert_int_equal(decide(scene, ~0u), 3);
    assert_int_equal(scene->reasons[100], RETENTION_HELD);
    assert_int_equal(scene->reasons[200], RETENTION_UNTIL);
}

#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCENE(test_days),
        WITH_SCENE(test_counts),
        WITH_SCENE(test_last_whole_point_never_goes),
        WITH_SCENE(test_holds_and_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
