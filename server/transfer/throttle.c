#include "server/transfer/throttle.h"

#include "base/clock.h"
#include "base/memory.h"
#include "server/protection/time_zone.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY_MINUTES = 24 * 60, DAY_S = 86400, ALL_DAYS = 127 };

static const int64_t second_us = 1000000;
static const int64_t burst_us = 100000; /* what was not used of so long may be used later */

/* --- the limit */

int bandwidth_limit_check(const struct bandwidth_limit *limit, struct error *err)
{
    const uint64_t rates[] = {limit->rate, limit->other_rate};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (rates[i] != 0 && rates[i] < THROTTLE_RATE_MIN) {
            return error_set(err, ERROR_REQUEST_INVALID,
                             "A limit must be %d bytes a second at least, or 0 for none", THROTTLE_RATE_MIN);
        }
    }
    if (limit->from_minute >= DAY_MINUTES || limit->to_minute > DAY_MINUTES || limit->days == 0 ||
        limit->days > ALL_DAYS) {
        return error_set(err, ERROR_SCHEDULE_INVALID, "The hours or days of the limit are not valid");
    }
    struct time_zone *zone = time_zone_open(limit->time_zone, err);
    time_zone_close(zone);
    return zone != NULL ? 0 : -1;
}

/* Hours past midnight belong to the day on which they began. */
static bool is_within(const struct bandwidth_limit *limit, int64_t local_s)
{
    int64_t day = local_s / DAY_S;
    unsigned minute = (unsigned)(local_s % DAY_S / 60);
    bool over_midnight = limit->to_minute <= limit->from_minute;
    bool today = minute >= limit->from_minute && (over_midnight || minute < limit->to_minute);
    bool since_yesterday = over_midnight && minute < limit->to_minute;
    return (today && (limit->days >> calendar_weekday(day) & 1)) ||
           (since_yesterday && (limit->days >> calendar_weekday(day - 1) & 1));
}

uint64_t bandwidth_limit_at(const struct bandwidth_limit *limit, const struct time_zone *zone, int64_t now_ms)
{
    int64_t utc_s = now_ms / 1000;
    return is_within(limit, utc_s + time_zone_offset(zone, utc_s)) ? limit->rate : limit->other_rate;
}

/* --- buckets */

/* What has been spent, as the time at which it will have been paid. */
struct bucket {
    int64_t paid_us;
};

/* Guarded by the lock of all. How long to wait. */
static int64_t bucket_spend(struct bucket *bucket, uint64_t rate, uint64_t bytes, int64_t now_us)
{
    if (rate == 0) {
        bucket->paid_us = now_us;
        return 0;
    }
    if (bucket->paid_us < now_us - burst_us) {
        bucket->paid_us = now_us - burst_us;
    }
    bucket->paid_us += (int64_t)((double)bytes * (double)second_us / (double)rate);
    return bucket->paid_us - now_us;
}

/* --- hosts */

struct host_limit {
    struct host_limit *next;
    char host_id[IDENTITY_SIZE];
    struct bandwidth_limit limit; /* time_zone is not used */
    struct time_zone *zone;
    struct bucket bucket;
};

struct throttles {
    pthread_mutex_t lock; /* guards what follows, and every throttle */
    pthread_cond_t changed;
    unsigned changes;         /* of limits */
    struct host_limit *hosts; /* that have, or had, a limit */
};

struct throttle {
    struct throttles *throttles;
    char host_id[IDENTITY_SIZE];
    uint64_t rate;
    struct bucket bucket;
    bool stopped;
};

struct throttles *throttles_create(void)
{
    struct throttles *throttles = memory_zalloc(sizeof *throttles);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&throttles->lock, NULL);
    pthread_cond_init(&throttles->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return throttles;
}

void throttles_destroy(struct throttles *throttles)
{
    if (throttles == NULL) {
        return;
    }
    while (throttles->hosts != NULL) {
        struct host_limit *host = throttles->hosts;
        throttles->hosts = host->next;
        time_zone_close(host->zone);
        free(host);
    }
    pthread_mutex_destroy(&throttles->lock);
    pthread_cond_destroy(&throttles->changed);
    free(throttles);
}

static struct host_limit *find_host(const struct throttles *throttles, const char *host_id)
{
    struct host_limit *host = throttles->hosts;
    while (host != NULL && strcmp(host->host_id, host_id) != 0) {
        host = host->next;
    }
    return host;
}

void throttles_set_host(struct throttles *throttles, const char *host_id, const struct bandwidth_limit *limit)
{
    struct error ignored;
    struct time_zone *zone = time_zone_open(limit->time_zone, &ignored);
    if (zone == NULL) {
        zone = time_zone_open("UTC", &ignored);
    }
    pthread_mutex_lock(&throttles->lock);
    struct host_limit *host = find_host(throttles, host_id);
    if (host == NULL) {
        host = memory_zalloc(sizeof *host);
        strncpy(host->host_id, host_id, sizeof host->host_id - 1);
        host->next = throttles->hosts;
        throttles->hosts = host;
    }
    time_zone_close(host->zone);
    host->zone = zone;
    host->limit = *limit;
    host->limit.time_zone = NULL;
    host->bucket.paid_us = 0;
    throttles->changes++;
    pthread_cond_broadcast(&throttles->changed);
    pthread_mutex_unlock(&throttles->lock);
}

/* --- jobs */

struct throttle *throttle_open(struct throttles *throttles, const char *host_id, uint64_t rate)
{
    struct throttle *throttle = memory_zalloc(sizeof *throttle);
    throttle->throttles = throttles;
    throttle->rate = rate;
    strncpy(throttle->host_id, host_id, sizeof throttle->host_id - 1);
    return throttle;
}

void throttle_close(struct throttle *throttle)
{
    free(throttle);
}

/* For so long, or until it is stopped, or limits change. */
static void wait_us(struct throttle *throttle, int64_t wait)
{
    struct throttles *throttles = throttle->throttles;
    int64_t until_us = clock_monotonic_us() + wait;
    struct timespec until = {.tv_sec = until_us / second_us, .tv_nsec = until_us % second_us * 1000};
    unsigned before = throttles->changes;
    while (!throttle->stopped && throttles->changes == before &&
           pthread_cond_timedwait(&throttles->changed, &throttles->lock, &until) != ETIMEDOUT) {
    }
}

void throttle_spend(struct throttle *throttle, uint64_t bytes)
{
    if (throttle == NULL) {
        return;
    }
    struct throttles *throttles = throttle->throttles;
    pthread_mutex_lock(&throttles->lock);
    int64_t now_us = clock_monotonic_us();
    struct host_limit *host = find_host(throttles, throttle->host_id);
    uint64_t host_rate = host != NULL ? bandwidth_limit_at(&host->limit, host->zone, clock_wall_ms()) : 0;
    int64_t wait = host != NULL ? bucket_spend(&host->bucket, host_rate, bytes, now_us) : 0;
    int64_t own = bucket_spend(&throttle->bucket, throttle->rate, bytes, now_us);
    wait = own > wait ? own : wait;
    if (wait > 0 && !throttle->stopped) {
        wait_us(throttle, wait);
    }
    pthread_mutex_unlock(&throttles->lock);
}

void throttle_stop(struct throttle *throttle)
{
    if (throttle != NULL) {
        pthread_mutex_lock(&throttle->throttles->lock);
        throttle->stopped = true;
        pthread_cond_broadcast(&throttle->throttles->changed);
        pthread_mutex_unlock(&throttle->throttles->lock);
    }
}
