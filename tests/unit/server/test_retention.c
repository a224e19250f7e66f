/* Which points stay, and why. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/protection/retention.h"
#include <time.h>

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

/* --- at random, against the definition */

static uint32_t random_state = 1;

static unsigned draw(unsigned below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static void draw_scene(struct scene *scene)
{
    enum { COUNT_MAX = 40, GAP_MAX_H = 400 };
    static const unsigned gaps_h[] = {3, 12, 30, GAP_MAX_H};
    unsigned gap_h = gaps_h[draw(4)];
    int64_t time_ms = scene->now_ms;
    memset(scene->points, 0, sizeof scene->points);
    scene->count = draw(COUNT_MAX);
    for (size_t i = 0; i < scene->count; i++) {
        struct catalog_point *point = &scene->points[i];
        time_ms -= (int64_t)draw(gap_h * HOUR_MS / 1000) * 1000;
        point->time_ms = time_ms;
        point->damaged = draw(8) == 0;
        point->held = draw(20) == 0;
        point->retain_until_ms = draw(10) == 0 ? scene->now_ms + ((int64_t)draw(100) - 50) * HOUR_MS : 0;
        point->locked_until_ms = draw(6) == 0 ? scene->now_ms + ((int64_t)draw(100) - 50) * HOUR_MS : 0;
    }
    struct catalog_policy *policy = &scene->policy;
    policy->keep_days = draw(2) * draw(40);
    policy->keep_latest = draw(2) * draw(6);
    policy->keep_daily = draw(2) * draw(10);
    policy->keep_weekly = draw(2) * draw(8);
    policy->keep_monthly = draw(2) * draw(14);
    policy->keep_yearly = draw(2) * draw(4);
}

enum calendar_period { DAY, WEEK, MONTH, YEAR };

/* The period of a point by the C library's calendar. */
static void name_period(const struct catalog_point *point, enum calendar_period period, char out[16])
{
    time_t seconds = (time_t)(point->time_ms / 1000);
    struct tm local;
    localtime_r(&seconds, &local);
    switch (period) {
    case DAY:
        strftime(out, 16, "%Y-%m-%d", &local);
        break;
    case WEEK:
        strftime(out, 16, "%G-%V", &local);
        break;
    case MONTH:
        strftime(out, 16, "%Y-%m", &local);
        break;
    case YEAR:
    default:
        strftime(out, 16, "%Y", &local);
        break;
    }
}

static bool is_first_of_period(const struct scene *scene, size_t i, enum calendar_period period)
{
    char own[16], other[16];
    name_period(&scene->points[i], period, own);
    for (size_t k = 0; k < i; k++) {
        name_period(&scene->points[k], period, other);
        if (!scene->points[k].damaged && strcmp(own, other) == 0) {
            return false;
        }
    }
    return !scene->points[i].damaged;
}

/* The newest whole one of its period, which is one of the `keep` newest that have any. */
static bool period_wants(const struct scene *scene, size_t i, enum calendar_period period, unsigned keep)
{
    unsigned newer = 0;
    for (size_t k = 0; k < i; k++) {
        newer += is_first_of_period(scene, k, period);
    }
    return is_first_of_period(scene, i, period) && newer < keep;
}

static unsigned define(const struct scene *scene, size_t i, int64_t lock_ms)
{
    const struct catalog_point *point = &scene->points[i];
    const struct catalog_policy *policy = &scene->policy;
    unsigned newer_good = 0;
    unsigned good = 0;
    for (size_t k = 0; k < scene->count; k++) {
        newer_good += k < i && !scene->points[k].damaged;
        good += !scene->points[k].damaged;
    }
    bool last = good > 0 ? !point->damaged && newer_good == 0 : i == 0;
    bool young = scene->now_ms - point->time_ms < (int64_t)policy->keep_days * 24 * HOUR_MS;
    return (last ? RETENTION_LAST : 0u) | (point->held ? RETENTION_HELD : 0u) |
           (point->retain_until_ms > scene->now_ms ? RETENTION_UNTIL : 0u) |
           (point->locked_until_ms > lock_ms ? RETENTION_LOCKED : 0u) | (young ? RETENTION_AGE : 0u) |
           (!point->damaged && newer_good < policy->keep_latest ? RETENTION_LATEST : 0u) |
           (period_wants(scene, i, DAY, policy->keep_daily) ? RETENTION_DAILY : 0u) |
           (period_wants(scene, i, WEEK, policy->keep_weekly) ? RETENTION_WEEKLY : 0u) |
           (period_wants(scene, i, MONTH, policy->keep_monthly) ? RETENTION_MONTHLY : 0u) |
           (period_wants(scene, i, YEAR, policy->keep_yearly) ? RETENTION_YEARLY : 0u);
}

static void test_as_defined(void **state)
{
    enum { ROUNDS = 160 };
    static const char *const zones[] = {"UTC", "Europe/Zurich", "America/New_York", "Pacific/Auckland"};
    struct scene *scene = *state;
    struct error err;
    for (unsigned round = 0; round < ROUNDS; round++) {
        const char *name = zones[round % 4];
        setenv("TZ", name, 1);
        tzset();
        time_zone_close(scene->zone);
        scene->zone = time_zone_open(name, &err);
        draw_scene(scene);
        struct retention_time time = {.now_ms = scene->now_ms,
                                      .lock_ms = scene->now_ms - (int64_t)draw(20) * HOUR_MS};
        retention_decide(&scene->policy, scene->zone, scene->points, scene->count, &time, scene->reasons);
        for (size_t i = 0; i < scene->count; i++) {
            if (scene->reasons[i] != define(scene, i, time.lock_ms)) {
                fail_msg("round %u, point %zu: reasons %#x instead of %#x", round, i, scene->reasons[i],
                         define(scene, i, time.lock_ms));
            }
        }
    }
    unsetenv("TZ");
    tzset();
}

/* Takes away what may go, until nothing may: what must stay is there at every step, and one run is enough. */
static void test_run_after_run(void **state)
{
    enum { ROUNDS = 400 };
    struct scene *scene = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        draw_scene(scene);
        size_t good = 0, left = 0, must = 0, stayed = 0;
        for (size_t i = 0; i < scene->count; i++) {
            good += !scene->points[i].damaged;
            must += scene->points[i].held || scene->points[i].locked_until_ms > scene->now_ms;
        }
        size_t kept = decide(scene, ~0u);
        for (size_t i = 0; i < scene->count; i++) {
            if (scene->reasons[i] != 0) {
                scene->points[left++] = scene->points[i];
            }
        }
        scene->count = left;
        size_t good_left = 0;
        for (size_t i = 0; i < left; i++) {
            good_left += !scene->points[i].damaged;
            stayed += scene->points[i].held || scene->points[i].locked_until_ms > scene->now_ms;
        }
        assert_int_equal(kept, left);
        assert_true(good == 0 || good_left > 0);
        assert_int_equal(must, stayed);
        assert_int_equal(decide(scene, ~0u), left);
    }
}

static void test_more_keeps_more(void **state)
{
    enum { ROUNDS = 200 };
    struct scene *scene = *state;
    static unsigned before[POINTS];
    for (unsigned round = 0; round < ROUNDS; round++) {
        draw_scene(scene);
        decide(scene, ~0u);
        memcpy(before, scene->reasons, sizeof before);
        scene->policy.keep_daily += draw(3);
        scene->policy.keep_monthly += draw(3);
        scene->policy.keep_latest += draw(3);
        decide(scene, ~0u);
        for (size_t i = 0; i < scene->count; i++) {
            assert_true(before[i] == 0 || scene->reasons[i] != 0);
        }
    }
}

static void test_no_policy_keeps_all(void **state)
{
    struct scene *scene = *state;
    struct retention_time time = {.now_ms = scene->now_ms, .lock_ms = scene->now_ms};
    retention_decide(NULL, NULL, scene->points, scene->count, &time, scene->reasons);
    for (size_t i = 0; i < scene->count; i++) {
        assert_int_equal(scene->reasons[i], RETENTION_ALWAYS);
    }
}

static void test_until(void **state)
{
    struct scene *scene = *state;
    struct catalog_point *point = &scene->points[0];
    scene->policy.keep_days = 2;
    assert_int_equal(retention_until_ms(&scene->policy, point, RETENTION_LATEST | RETENTION_HELD), 0);
    assert_int_equal(retention_until_ms(&scene->policy, point, RETENTION_AGE),
                     point->time_ms + 48LL * HOUR_MS);
    point->locked_until_ms = point->time_ms + 100LL * HOUR_MS;
    point->retain_until_ms = point->time_ms + 50LL * HOUR_MS;
    assert_int_equal(retention_until_ms(&scene->policy, point, RETENTION_AGE | RETENTION_UNTIL),
                     point->retain_until_ms);
    assert_int_equal(
        retention_until_ms(&scene->policy, point, RETENTION_AGE | RETENTION_UNTIL | RETENTION_LOCKED),
        point->locked_until_ms);
}

/* Reasons have a name each. */
static void test_names(void **state)
{
    (void)state;
    unsigned count = 0;
    while (retention_reason_names[count] != NULL) {
        count++;
    }
    assert_int_equal(1u << count, RETENTION_GOOD << 1);
    assert_string_equal(retention_reason_names[9], "locked");
    assert_string_equal(retention_reason_names[4], "latest");
}

#define WITH_SCENE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCENE(test_days),
        WITH_SCENE(test_counts),
        WITH_SCENE(test_last_whole_point_never_goes),
        WITH_SCENE(test_holds_and_dates),
        WITH_SCENE(test_as_defined),
        WITH_SCENE(test_run_after_run),
        WITH_SCENE(test_more_keeps_more),
        WITH_SCENE(test_no_policy_keeps_all),
        WITH_SCENE(test_until),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
