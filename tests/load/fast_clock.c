/*
 * A wall clock that runs faster, to be preloaded into a program that knows nothing of it. The file that
 * HOLDFAST_TEST_CLOCK names holds a struct fast_clock (load.py writes it): from `real_ns` of the monotonic
 * clock on, the wall clock begins at wall_ns and moves `rate` times as fast. The monotonic clock is the real
 * one. Several programs that share the file share the clock.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct fast_clock {
    _Atomic uint64_t version; /* odd while the rest is written */
    _Atomic int64_t real_ns;
    _Atomic int64_t wall_ns;
    _Atomic int64_t rate;
    _Atomic int64_t limit_ns; /* where it stands still */
};

static const struct fast_clock *shared;

enum { SECOND_NS = 1000000000, MICROSECOND_NS = 1000 };

int clock_gettime(clockid_t id, struct timespec *now);
int gettimeofday(struct timeval *restrict now, void *restrict zone);
time_t time(time_t *out);

static int64_t monotonic_ns(void)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("HOLDFAST_TEST_CLOCK");
    int file = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file >= 0 ? mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
    shared = mapped != MAP_FAILED ? mapped : NULL;
    if (file >= 0) {
        close(file);
    }
}

static int64_t wall_ns(void)
{
    uint64_t version;
    int64_t now;
    int64_t limit;
    do {
        version = atomic_load(&shared->version);
        now = atomic_load(&shared->wall_ns) +
              (monotonic_ns() - atomic_load(&shared->real_ns)) * atomic_load(&shared->rate);
        limit = atomic_load(&shared->limit_ns);
    } while ((version & 1) != 0 || version != atomic_load(&shared->version));
    return now < limit ? now : limit;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    if (shared == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) {
        return (int)syscall(SYS_clock_gettime, id, now);
    }
    int64_t wall = wall_ns();
    now->tv_sec = wall / SECOND_NS;
    now->tv_nsec = wall % SECOND_NS;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / MICROSECOND_NS;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
