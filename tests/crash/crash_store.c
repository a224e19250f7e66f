/*
 * The real store engine over a file system that stops or fails at any operation of some days' work: backups
 * that share chunks, interrupted transfers, deletions, collections, a rebuilt index. After each: what was
 * committed is there and reads bit for bit, what was not is absent or whole, the store takes a new backup,
 * keeps it over another crash, can be collected and verifies.
 *
 *   crash_store [--seed N] [--points N|all] [--try N]
 *
 * tries N crash points (default 300, spread over all there are) and as many faults; --try one of them again,
 * by the number that a failure names. What the disk makes of a crash, whether the store is encrypted and
 * whether its index is lost follows from the seed. $CRASH_TRACE lists operations.
 *
 * A sync that fails has lost what can still be read, also where the store is opened again before the machine
 * stops.
 *
 * The index lies outside of the file system that crashes: its database syncs by itself. It is kept or lost.
 */
#include "crash_world.h"

#include "base/log.h"
#include "storage/store_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    CRASH_IN_CREATION,
    CRASH_IN_WORK,
    CRASH_IN_RECOVERY, /* crashes in the work, then while the store is opened again */
    CRASH_AFTER_FAULT, /* an operation fails, the work goes on, then the machine stops */
    FAULT_NO_SPACE,
    FAULT_SHORT_WRITE,
    FAULT_IO_ERROR,
    KINDS
};
static const char *const kind_names[KINDS] = {
    "crash in creation", "crash in work", "crash in recovery", "crash after fault",
    "no space",          "short write",   "I/O error",
};
enum { POINTS_DEFAULT = 300, REAL_EVERY = 8, RECOVERY_STEPS = 12, RECOVERY_CRASHES = 3 };

/* Freed memory is used again soon: fresh memory takes most of the time. The leaks and bounds are still seen.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=16:allocator_release_to_os_interval_ms=-1";
}

static struct {
    uint64_t seed;
    unsigned number; /* of the try */
    enum kind kind;
    unsigned at; /* operation */
    uint64_t random;
} current;

static void explain(void)
{
    fprintf(stderr, "%s at operation %u: crash_store --seed %llu --try %u\n", kind_names[current.kind],
            current.at, (unsigned long long)current.seed, current.number);
}

/* splitmix64 */
static uint64_t draw(void)
{
    current.random += 0x9E3779B97F4A7C15u;
    uint64_t z = current.random;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static bool one_of(unsigned count)
{
    return draw() % count == 0;
}

/* --- one try */

static void create_store(struct world *world)
{
    struct error err;
    if (world_create_store(world, &err) != 0) {
        die("the store can't be made", &err);
    }
}

static struct store *open_again(struct world *world)
{
    struct error err;
    struct store *store = world_open_store(world, &err);
    if (store == NULL) {
        die("the store can't be opened again", &err);
    }
    return store;
}

/* The machine stops, with the store open (or NULL). */
static void crash(struct world *world, struct store *store)
{
    if (!crash_fs_stopped(world->fs)) {
        crash_fs_stop_at(world->fs, crash_fs_operations(world->fs) + 1);
    }
    store_close(store);
    crash_fs_crash(world->fs, draw());
    if (one_of(3)) {
        world_remove_index(world); /* lost as well */
    }
}

/* What is there now is a directory like any other, for the operating system's own files. */
static void check_real(struct world *world)
{
    struct error err;
    if (crash_fs_export(world->fs, world->real_path, &err) != 0) {
        die("the store can't be written out", &err);
    }
    struct store *store = open_again(world);
    world_check(world, store);
    world_go_on(world, store);
    world_collect(world, store);
    store_close(store);
    store = open_again(world);
    world_check(world, store);
    store_close(store);
}

static void check_model(struct world *world)
{
    struct store *store = open_again(world);
    world_check(world, store);
    world_go_on(world, store);
    crash(world, store);
    store = open_again(world);
    world_check(world, store);
    world_collect(world, store);
    store_close(store);
}

static void check(struct world *world)
{
    if (one_of(REAL_EVERY)) {
        check_real(world);
    } else {
        check_model(world);
    }
}

static void try_creation(struct world *world, unsigned at)
{
    struct error err;
    crash_fs_stop_at(world->fs, at);
    world_create_store(world, &err);
    crash(world, NULL);
    struct store *store = world_open_store(world, &err);
    if (store == NULL && err.code != ERROR_STORE_INVALID) {
        die("half a store is something else", &err);
    }
    store_close(store);
    if (store == NULL) {
        create_store(world);
    }
    check(world);
}

static void try_crash(struct world *world, unsigned at, bool in_recovery)
{
    struct error err;
    create_store(world);
    crash_fs_stop_at(world->fs, crash_fs_operations(world->fs) + at);
    world->reopens = true;
    crash(world, world_work(world));
    for (int i = 0; in_recovery && i < RECOVERY_CRASHES; i++) {
        crash_fs_stop_at(world->fs, crash_fs_operations(world->fs) + 1 + (unsigned)(draw() % RECOVERY_STEPS));
        crash(world, world_open_store(world, &err));
    }
    check(world);
}

static void try_fault(struct world *world, unsigned at, int errnum, bool short_write, bool crashes)
{
    create_store(world);
    crash_fs_lose_pages(world->fs);
    crash_fs_fail_at(world->fs, crash_fs_operations(world->fs) + at, errnum, short_write);
    struct store *store = world_work(world);
    const char *failed = crash_fs_failed(world->fs);
    if (store == NULL) {
        if (failed == NULL) {
            die("the store can't be opened", NULL);
        }
    } else if (failed != NULL) {
        enum error_code wanted = errnum == ENOSPC ? ERROR_STORE_FULL : ERROR_STORE_UNAVAILABLE;
        /* Only a container's table may be left out silently. */
        if (world->failures == 0 && strcmp(failed, "write") != 0) {
            die("nobody was told of a failed operation", NULL);
        }
        if (world->failures > 0 && world->first_failure != wanted) {
            die("a failed operation was told as another", NULL);
        }
        /* After a failed sync nothing is trusted until the store is opened again; else it goes on. */
        if (world->failures > 1 && strcmp(failed, "sync") != 0 &&
            strcmp(failed, "sync of a directory") != 0) {
            die("one failed operation stopped more than one step", NULL);
        }
    }
    if (crashes) {
        crash(world, store);
    } else {
        store_close(store);
    }
    crash_fs_fail_at(world->fs, 0, 0, false);
    check(world);
}

static void try(unsigned number, enum kind kind, unsigned at)
{
    struct world world;
    current.number = number;
    current.kind = kind;
    current.at = at;
    current.random = current.seed << 32 | number;
    world_begin(&world, one_of(2));
    switch (kind) {
    case CRASH_IN_CREATION:
        try_creation(&world, at);
        break;
    case CRASH_IN_WORK:
    case CRASH_IN_RECOVERY:
        try_crash(&world, at, kind == CRASH_IN_RECOVERY);
        break;
    case CRASH_AFTER_FAULT:
        try_fault(&world, at, one_of(2) ? ENOSPC : EIO, one_of(2), true);
        break;
    default:
        try_fault(&world, at, kind == FAULT_IO_ERROR ? EIO : ENOSPC, kind == FAULT_SHORT_WRITE, false);
    }
    world_end(&world);
}

/* --- all of them */

/* How many operations there are: the work is the same whatever the seed. */
static void count_operations(unsigned *creation, unsigned *work)
{
    struct world world;
    world_begin(&world, false);
    create_store(&world);
    *creation = crash_fs_operations(world.fs);
    world.reopens = true;
    struct store *store = world_work(&world);
    if (store == NULL || world.failures != 0) {
        die("the work is not done without any fault", NULL);
    }
    store_close(store);
    *work = crash_fs_operations(world.fs) - *creation;
    check(&world);
    world_end(&world);
}

/* Tries `points` of those from first on, evenly; 0: all. Gives how many. */
static unsigned try_some(const unsigned *counts, enum kind first, enum kind last, unsigned number,
                         unsigned points)
{
    unsigned total = 0;
    unsigned tried = 0;
    for (enum kind kind = first; kind <= last; kind++) {
        total += counts[kind];
    }
    points = points == 0 || points > total ? total : points;
    unsigned offset = (unsigned)(current.seed % total);
    unsigned place = 0;
    for (enum kind kind = first; kind <= last; kind++) {
        for (unsigned at = 1; at <= counts[kind]; at++, place++) {
            unsigned turned = (place + offset) % total;
            uint64_t before = (uint64_t)turned * points / total;
            if ((uint64_t)(turned + 1) * points / total > before) {
                try(number + place, kind, at);
                tried++;
            }
        }
    }
    return tried;
}

static void try_again(const unsigned *counts, unsigned number)
{
    unsigned left = number - 1;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        if (left < counts[kind]) {
            try(number, kind, left + 1);
            printf("tried 1 of them again: %s at operation %u\n", kind_names[kind], left + 1);
            return;
        }
        left -= counts[kind];
    }
    fprintf(stderr, "crash_store: there is no try %u\n", number);
    exit(2);
}

static unsigned number_of(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value > UINT32_MAX) {
        fprintf(stderr, "crash_store [--seed N] [--points N|all] [--try N]\n");
        exit(2);
    }
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    unsigned points = POINTS_DEFAULT;
    unsigned again = 0;
    unsigned counts[KINDS];
    unsigned crash_points = 0;
    current.seed = 1;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i++];
        const char *value = i < argc ? argv[i] : "";
        if (strcmp(option, "--seed") == 0) {
            current.seed = number_of(value);
        } else if (strcmp(option, "--points") == 0) {
            points = strcmp(value, "all") == 0 ? 0 : number_of(value);
        } else if (strcmp(option, "--try") == 0) {
            again = number_of(value);
        } else {
            number_of("");
        }
    }
    log_init("crash", LOG_ERROR + 1);
    world_explain = explain;
    count_operations(&counts[CRASH_IN_CREATION], &counts[CRASH_IN_WORK]);
    for (enum kind kind = CRASH_IN_RECOVERY; kind < KINDS; kind++) {
        counts[kind] = counts[CRASH_IN_WORK];
    }
    for (enum kind kind = 0; kind < FAULT_NO_SPACE; kind++) {
        crash_points += counts[kind];
    }
    if (again != 0) {
        try_again(counts, again);
        return 0;
    }
    unsigned crashes = try_some(counts, 0, CRASH_AFTER_FAULT, 1, points);
    unsigned faults = try_some(counts, FAULT_NO_SPACE, KINDS - 1, 1 + crash_points, points);
    printf("tried %u crash points (of %u) and %u faults (of %u), %u operations, seed %llu\n", crashes,
           crash_points, faults, 3 * counts[CRASH_IN_WORK], counts[CRASH_IN_WORK],
           (unsigned long long)current.seed);
    return 0;
}
