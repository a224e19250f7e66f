#include "server/report/api_statistics.h"

#include "base/memory.h"
#include <stdatomic.h>
#include <stdlib.h>

const double api_statistics_bounds[] = {0.001, 0.005, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 0};

struct api_statistics {
    atomic_uint_fast64_t answers[API_STATISTICS_STATUS_MAX];
    atomic_uint_fast64_t buckets[API_STATISTICS_BUCKETS];
    atomic_uint_fast64_t microseconds;
};

struct api_statistics *api_statistics_create(void)
{
    return memory_zalloc(sizeof(struct api_statistics));
}

void api_statistics_destroy(struct api_statistics *statistics)
{
    free(statistics);
}

void api_statistics_count(struct api_statistics *statistics, int status, int64_t microseconds)
{
    size_t bucket = 0;
    int64_t spent = microseconds < 0 ? 0 : microseconds;
    while (api_statistics_bounds[bucket] > 0 && (double)spent > api_statistics_bounds[bucket] * 1e6) {
        bucket++;
    }
    if (status > 0 && status < API_STATISTICS_STATUS_MAX) {
        atomic_fetch_add(&statistics->answers[status], 1);
    }
    atomic_fetch_add(&statistics->buckets[bucket], 1);
    atomic_fetch_add(&statistics->microseconds, (uint64_t)spent);
}

uint64_t api_statistics_answers(const struct api_statistics *statistics, int status)
{
    return atomic_load(&((struct api_statistics *)(uintptr_t)statistics)->answers[status]);
}

uint64_t api_statistics_bucket(const struct api_statistics *statistics, size_t bucket)
{
    return atomic_load(&((struct api_statistics *)(uintptr_t)statistics)->buckets[bucket]);
}

uint64_t api_statistics_microseconds(const struct api_statistics *statistics)
{
    return atomic_load(&((struct api_statistics *)(uintptr_t)statistics)->microseconds);
}
