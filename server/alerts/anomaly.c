#include "server/alerts/anomaly.h"

#include <stdlib.h>

static const double mad_to_deviation = 1.4826;
static const double hour_ms = 3600.0 * 1000.0;
static const double day_ms = 24 * 3600.0 * 1000.0;

struct usual {
    double median;
    double spread;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* values are changed. count is not 0. */
static struct usual usual_of(double *values, size_t count)
{
    struct usual usual = {.median = median_of(values, count)};
    for (size_t i = 0; i < count; i++) {
        values[i] = values[i] > usual.median ? values[i] - usual.median : usual.median - values[i];
    }
    usual.spread = mad_to_deviation * median_of(values, count);
    return usual;
}

static double per_day(const struct change_sample *sample, uint64_t bytes)
{
    double interval = (double)sample->interval_ms < hour_ms ? hour_ms : (double)sample->interval_ms;
    return (double)bytes * day_ms / interval;
}

/* Small records about the data may make it more than all. */
static double share_of(const struct change_sample *sample)
{
    double share =
        sample->changed_bytes == 0 ? 0 : (double)sample->stored_bytes / (double)sample->changed_bytes;
    return share > 1 ? 1 : share;
}

/* Above what is usual by so many spreads, and so many times it. */
static bool is_jump(double value, const struct usual *usual, double times)
{
    enum { SPREADS = 6 };
    double spread = usual->spread < usual->median / 4 ? usual->median / 4 : usual->spread;
    return value > usual->median + SPREADS * spread && value > times * usual->median;
}

void anomaly_judge(const struct change_sample *history, size_t count, const struct change_sample *newest,
                   uint64_t vm_bytes, struct anomaly_verdict *verdict)
{
    enum { SIZE_PART = 200, SHARE_SPREADS = 3, STORED_TIMES = 3, CHANGED_TIMES = 4 };
    const double share_rise = 0.15, share_half = 0.5, share_most = 0.8;
    double changed[ANOMALY_HISTORY_MAX], stored[ANOMALY_HISTORY_MAX], shares[ANOMALY_HISTORY_MAX];
    size_t share_count = 0;
    count = count > ANOMALY_HISTORY_MAX ? ANOMALY_HISTORY_MAX : count;
    *verdict = (struct anomaly_verdict){.percent = (unsigned)(100 * share_of(newest))};
    if (count < ANOMALY_HISTORY_MIN) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        changed[i] = per_day(&history[i], history[i].changed_bytes);
        stored[i] = per_day(&history[i], history[i].stored_bytes);
        if (history[i].changed_bytes > 0) {
            shares[share_count++] = share_of(&history[i]);
        }
    }
    struct usual usual_changed = usual_of(changed, count);
    struct usual usual_stored = usual_of(stored, count);
    struct usual usual_share = share_count > 0 ? usual_of(shares, share_count) : (struct usual){0};
    double rise = SHARE_SPREADS * usual_share.spread;
    double share = share_of(newest);
    verdict->changed_per_day = (uint64_t)per_day(newest, newest->changed_bytes);
    verdict->usual_changed_per_day = (uint64_t)usual_changed.median;
    verdict->usual_percent = (unsigned)(100 * usual_share.median);
    if (newest->stored_bytes < ANOMALY_STORED_MIN || newest->stored_bytes < vm_bytes / SIZE_PART) {
        return;
    }
    bool stored_jump = is_jump(per_day(newest, newest->stored_bytes), &usual_stored, STORED_TIMES) &&
                       share >= share_half &&
                       share >= usual_share.median + (rise < share_rise ? share_rise : rise);
    bool changed_jump =
        is_jump(per_day(newest, newest->changed_bytes), &usual_changed, CHANGED_TIMES) && share >= share_most;
    verdict->suspicious = stored_jump || changed_jump;
}
