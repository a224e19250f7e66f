/* Forecasts, CSV, and how old a point may be. */
#include "catalog_fixture.h"

#include "server/capacity/forecast.h"
#include "server/report/csv.h"

enum { GIB = 1 << 30 };

static struct forecast forecast_of(const struct forecast_sample *samples, size_t count, uint64_t free_bytes)
{
    struct forecast forecast;
    forecast_make(samples, count, free_bytes, &forecast);
    return forecast;
}

static size_t straight(struct forecast_sample *samples, size_t count, uint64_t day_bytes)
{
    for (size_t i = 0; i < count; i++) {
        samples[i] = (struct forecast_sample){20000 + (int64_t)i, GIB + i * day_bytes};
    }
    return count;
}

static void forecast_needs_history(void **state)
{
    struct forecast_sample samples[40] = {{0, 0}};
    (void)state;
    assert_int_equal(forecast_of(samples, 0, GIB).kind, FORECAST_UNKNOWN);
    assert_int_equal(forecast_of(samples, straight(samples, 6, 1000000), GIB).kind, FORECAST_UNKNOWN);
    assert_int_equal(forecast_of(samples, straight(samples, 7, 1000000), GIB).kind, FORECAST_GROWS);
}

static void forecast_follows_the_line(void **state)
{
    struct forecast_sample samples[40] = {{0, 0}};
    (void)state;
    struct forecast forecast = forecast_of(samples, straight(samples, 30, 1000000), 14500000);
    assert_int_equal(forecast.bytes_per_day, 1000000);
    assert_int_equal(forecast.days_left, 14);
    forecast = forecast_of(samples, straight(samples, 30, 0), GIB);
    assert_int_equal(forecast.kind, FORECAST_STEADY);
    forecast = forecast_of(samples, straight(samples, 40, 1000000), 0); /* the last 30 count */
    assert_int_equal(forecast.days_left, 0);
}

/* A first backup and a large deletion are not growth. */
static void forecast_ignores_odd_days(void **state)
{
    struct forecast_sample samples[30] = {{0, 0}};
    (void)state;
    straight(samples, 30, 1000000);
    samples[29].bytes += (uint64_t)100 * GIB;
    samples[10].bytes = 0;
    struct forecast forecast = forecast_of(samples, 30, 10000000);
    assert_in_range(forecast.bytes_per_day, 950000, 1050000);
    for (size_t i = 0; i < 30; i++) {
        samples[i].bytes = (uint64_t)GIB - i * 1000000;
    }
    forecast = forecast_of(samples, 30, 0);
    assert_int_equal(forecast.kind, FORECAST_STEADY);
    assert_int_equal(forecast.bytes_per_day, -1000000);
}

static void csv_is_rfc_4180(void **state)
{
    static const char *const columns[] = {"a", "b", NULL};
    static const struct {
        const char *text;
        const char *cell;
    } cases[] = {
        {"plain", "plain"},
        {"a,b", "\"a,b\""},
        {"say \"x\"", "\"say \"\"x\"\"\""},
        {"two\nlines", "\"two\nlines\""},
        {"=1+1", "'=1+1"},
        {"+1", "'+1"},
        {"-1", "'-1"},
        {"@x", "'@x"},
        {"\tx", "'\tx"},
        {"=\"x\",1", "\"'=\"\"x\"\",1\""},
        {"", ""},
        {"a=b", "a=b"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out;
        char *wanted = memory_format("%s,-5\r\n", cases[i].cell);
        json_t *row = json_pack("{s:s, s:i}", "a", cases[i].text, "b", -5);
        buffer_init(&out, 1000);
        assert_int_equal(csv_add_row(&out, columns, row), 0);
        assert_string_equal(buffer_text(&out), wanted);
        json_decref(row);
        free(wanted);
        buffer_free(&out);
    }
}

static void csv_has_a_bound(void **state)
{
    static const char *const columns[] = {"a", NULL};
    struct buffer out;
    (void)state;
    json_t *row = json_pack("{s:s}", "a", "longer than this");
    buffer_init(&out, 8);
    assert_int_not_equal(csv_add_row(&out, columns, row), 0);
    json_decref(row);
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forecast_needs_history),    cmocka_unit_test(forecast_follows_the_line),
        cmocka_unit_test(forecast_ignores_odd_days), cmocka_unit_test(csv_is_rfc_4180),
        cmocka_unit_test(csv_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
