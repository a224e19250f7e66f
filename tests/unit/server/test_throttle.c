/* Which limit counts at an instant. */
#include "catalog_fixture.h"

#include "base/clock.h"
#include "server/protection/time_zone.h"
#include "server/transfer/throttle.h"

enum { DAY = 1000, ELSE = 7 };

static uint64_t limit_at(const struct bandwidth_limit *limit, const char *text)
{
    struct error err;
    int64_t ms;
    assert_int_equal(clock_parse_wall(text, &ms), 0);
    struct time_zone *zone = time_zone_open(limit->time_zone, &err);
    check(zone != NULL ? 0 : -1, err);
    uint64_t rate = bandwidth_limit_at(limit, zone, ms);
    time_zone_close(zone);
    return rate;
}

static struct bandwidth_limit hours(unsigned from, unsigned to, unsigned days, const char *zone)
{
    return (struct bandwidth_limit){.rate = DAY,
                                    .other_rate = ELSE,
                                    .from_minute = from * 60,
                                    .to_minute = to * 60,
                                    .days = days,
                                    .time_zone = zone};
}

static void test_always(void **state)
{
    (void)state;
    struct bandwidth_limit limit = hours(0, 24, 127, "UTC");
    assert_int_equal(limit_at(&limit, "2026-11-21T00:00:00Z"), DAY);
    assert_int_equal(limit_at(&limit, "2026-11-21T23:59:59Z"), DAY);
}

static void test_working_hours(void **state)
{
    (void)state;
    struct bandwidth_limit limit = hours(8, 18, 62, "Europe/Zurich"); /* Monday to Friday */
    assert_int_equal(limit_at(&limit, "2026-11-20T06:59:59Z"), ELSE);
    assert_int_equal(limit_at(&limit, "2026-11-20T07:00:00Z"), DAY); /* 08:00 there */
    assert_int_equal(limit_at(&limit, "2026-11-20T16:59:59Z"), DAY);
    assert_int_equal(limit_at(&limit, "2026-11-20T17:00:00Z"), ELSE);
    assert_int_equal(limit_at(&limit, "2026-11-21T10:00:00Z"), ELSE); /* a Saturday */
    assert_int_equal(limit_at(&limit, "2026-07-20T06:00:00Z"), DAY);  /* summer time */
}

static void test_past_midnight(void **state)
{
    (void)state;
    struct bandwidth_limit limit = hours(22, 6, 1 << 5, "UTC"); /* the night that begins on Friday */
    assert_int_equal(limit_at(&limit, "2026-11-20T05:00:00Z"), ELSE);
    assert_int_equal(limit_at(&limit, "2026-11-20T22:00:00Z"), DAY);
    assert_int_equal(limit_at(&limit, "2026-11-21T05:59:59Z"), DAY);
    assert_int_equal(limit_at(&limit, "2026-11-21T06:00:00Z"), ELSE);
    assert_int_equal(limit_at(&limit, "2026-11-21T22:00:00Z"), ELSE);
}

static void test_refused(void **state)
{
    (void)state;
    struct error err;
    struct bandwidth_limit limit = hours(8, 18, 62, "UTC");
    assert_int_equal(bandwidth_limit_check(&limit, &err), -1); /* slower than the least */
    limit.rate = limit.other_rate = THROTTLE_RATE_MIN;
    assert_int_equal(bandwidth_limit_check(&limit, &err), 0);
    limit.days = 0;
    assert_int_equal(bandwidth_limit_check(&limit, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_always),
        cmocka_unit_test(test_working_hours),
        cmocka_unit_test(test_past_midnight),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
