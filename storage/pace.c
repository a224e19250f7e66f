#include "storage/pace.h"

#include "base/clock.h"
#include <errno.h>
#include <time.h>

void pace_init(struct pace *pace, uint64_t bytes_per_second)
{
    pace->bytes_per_second = bytes_per_second;
    pace->free_at_us = 0;
    pthread_mutex_init(&pace->lock, NULL);
}

void pace_destroy(struct pace *pace)
{
    pthread_mutex_destroy(&pace->lock);
}

void pace_spend(struct pace *pace, uint64_t bytes)
{
    if (pace->bytes_per_second == 0) {
        return;
    }
    int64_t now = clock_monotonic_us();
    pthread_mutex_lock(&pace->lock);
    int64_t from = pace->free_at_us > now ? pace->free_at_us : now;
    pace->free_at_us = from + (int64_t)(bytes * 1000000 / pace->bytes_per_second);
    int64_t wait = pace->free_at_us - now;
    pthread_mutex_unlock(&pace->lock);
    struct timespec left = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
