#include "server/capacity/forecast.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_slope(const struct forecast_sample *samples, size_t count)
{
    double slopes[FORECAST_DAYS * (FORECAST_DAYS - 1) / 2];
    size_t slope_count = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = i + 1; j < count; j++) {
            double days = (double)(samples[j].day - samples[i].day);
            if (days > 0) {
                slopes[slope_count++] = ((double)samples[j].bytes - (double)samples[i].bytes) / days;
            }
        }
    }
    if (slope_count == 0) {
        return 0;
    }
    qsort(slopes, slope_count, sizeof *slopes, compare);
    return slope_count % 2 == 1 ? slopes[slope_count / 2]
                                : (slopes[slope_count / 2 - 1] + slopes[slope_count / 2]) / 2;
}

void forecast_make(const struct forecast_sample *samples, size_t count, uint64_t free_bytes,
                   struct forecast *forecast)
{
    const double day_bytes_min = 1;
    const double days_max = 36500;
    *forecast = (struct forecast){.kind = FORECAST_UNKNOWN};
    if (count > FORECAST_DAYS) {
        samples += count - FORECAST_DAYS;
        count = FORECAST_DAYS;
    }
    if (count < FORECAST_DAYS_MIN || samples[count - 1].day - samples[0].day < FORECAST_DAYS_MIN - 1) {
        return;
    }
    double slope = median_slope(samples, count);
    forecast->bytes_per_day = (int64_t)slope;
    forecast->kind = FORECAST_STEADY;
    if (slope >= day_bytes_min && (double)free_bytes / slope < days_max) {
        forecast->kind = FORECAST_GROWS;
        forecast->days_left = (int64_t)((double)free_bytes / slope);
    }
}

const char *forecast_kind_name(enum forecast_kind kind)
{
    static const char *const names[] = {"not-enough-history", "steady", "grows"};
    return names[kind];
}
