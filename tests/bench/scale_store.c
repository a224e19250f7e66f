/*
 * A store with the maps and the index of many large disks, and tiny payloads: how time, memory and index
 * grow.
 *
 *   scale_store DIR DISKS GIB POINTS CHANGE_PER_MILLE
 *
 * makes POINTS recovery points of each of DISKS disks of GIB, with that much of it changed between two, in
 * random places; opens the store again; deletes the oldest point of each; collects. Prints one line a step.
 *
 *   scale_store DIR
 *
 * counts what a collection of that store would do, and removes nothing: for comparing two builds on one
 * store.
 */
#include "base/clock.h"
#include "base/digest.h"
#include "base/identity.h"
#include "base/memory.h"
#include "storage/maintenance.h"
#include "storage/store_internal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MIB = 1048576, KIB = 1024, PAYLOAD = 16 };

struct scale {
    struct store *store;
    uint64_t next_name;
    uint64_t random;
    uint64_t chunks;
    int64_t points;
};

static _Noreturn void die(const struct error *err)
{
    char text[3 * ERROR_TEXT_MAX];
    fprintf(stderr, "%s\n", error_format(err, text, sizeof text));
    exit(1);
}

#define check(call, err)                                                                                     \
    do {                                                                                                     \
        if ((call) != 0) {                                                                                   \
            die(&(err));                                                                                     \
        }                                                                                                    \
    } while (0)

static double peak_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / KIB;
}

/* Without what is mapped from files. */
static double anonymous_mib(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "RssAnon: %ld kB", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (double)kib / KIB;
}

static double now_s(void)
{
    return (double)clock_monotonic_us() / 1e6;
}

static uint64_t choose(struct scale *scale, uint64_t below)
{
    scale->random = scale->random * 6364136223846793005u + 1442695040888963407u;
    return (scale->random >> 20) % below;
}

/* A run of new chunks: names as random as real ones, a payload that stands for it. */
static void put_run(struct scale *scale, struct chunk_name *names, unsigned count)
{
    static uint8_t bytes[8192];
    static const uint8_t payload[PAYLOAD];
    struct stored_name stored[STORE_RUN_MAX];
    struct error err;
    for (unsigned i = 0; i < count; i++) {
        uint64_t number = scale->next_name++;
        digest_sha256(&number, sizeof number, names[i].bytes);
        seal_name(scale->store->seal, &names[i], &stored[i]);
    }
    record_encode(bytes, NULL, RECORD_RUN, RECORD_ZSTD, stored, count, payload, sizeof payload,
                  count * STORE_CHUNK_SIZE_DEFAULT);
    pthread_rwlock_rdlock(&scale->store->gate);
    check(store_append(scale->store, bytes, &err), err);
    pthread_rwlock_unlock(&scale->store->gate);
    scale->chunks += count;
}

static void commit(struct scale *scale, const char *datasource, uint64_t size, struct chunk_name *root,
                   char id[IDENTITY_SIZE])
{
    struct error err;
    struct point *point = point_create();
    identity_create(point->id);
    memcpy(point->datasource, datasource, IDENTITY_SIZE);
    struct point_disk *disk = point_add_disk(point, "vda");
    disk->size = size;
    disk->root = *root;
    point->time_ms = ++scale->points;
    memcpy(id, point->id, IDENTITY_SIZE);
    check(point_commit(scale->store, point, &err), err);
    point_destroy(point);
}

static void first_point(struct scale *scale, uint64_t size, struct chunk_name *root)
{
    struct error err;
    struct chunk_name names[STORE_RUN_MAX];
    struct map_writer *writer = map_writer_open(scale->store, size, NULL, 0, &err);
    uint64_t count = size / STORE_CHUNK_SIZE_DEFAULT;
    for (uint64_t i = 0; i < count; i += STORE_RUN_MAX) {
        put_run(scale, names, STORE_RUN_MAX);
        for (unsigned j = 0; j < STORE_RUN_MAX; j++) {
            check(map_writer_set(writer, i + j, &names[j], &err), err);
        }
    }
    check(map_writer_flush(writer, root, &err), err);
    map_writer_destroy(writer);
}

/* Changes come in short stretches, as a file system writes. */
static void next_point(struct scale *scale, uint64_t size, unsigned per_mille, struct chunk_name *root)
{
    enum { STRETCH = 4 };
    struct error err;
    struct chunk_name names[STORE_RUN_MAX];
    struct map_writer *writer = map_writer_open(scale->store, size, root, size, &err);
    uint64_t count = size / STORE_CHUNK_SIZE_DEFAULT;
    for (uint64_t i = 0; i < count * per_mille / 1000; i += STRETCH) {
        uint64_t at = choose(scale, count - STRETCH);
        put_run(scale, names, STRETCH);
        for (unsigned j = 0; j < STRETCH; j++) {
            check(map_writer_set(writer, at + j, &names[j], &err), err);
        }
    }
    check(map_writer_flush(writer, root, &err), err);
    map_writer_destroy(writer);
}

static int count_point(void *cookie, const char *id)
{
    (void)id;
    ++*(uint64_t *)cookie;
    return 0;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void collect(struct scale *scale, const char *what, bool dry_run)
{
    struct error err;
    struct collect_options options = {.dry_run = dry_run};
    struct collect_report report;
    struct rusage before;
    struct rusage after;
    double began = now_s();
    getrusage(RUSAGE_SELF, &before);
    check(store_collect(scale->store, &options, NULL, NULL, &report, &err), err);
    getrusage(RUSAGE_SELF, &after);
    printf("%s: %.2f s (%.2f s user, %.2f s system), %" PRIu64 " nodes walked, marks %.1f MiB, %" PRIu64
           " of %" PRIu64 " containers deleted, %" PRIu64
           " rewritten, peak %.0f MiB, now %.0f MiB without files\n",
           what, now_s() - began, seconds_of(&after.ru_utime) - seconds_of(&before.ru_utime),
           seconds_of(&after.ru_stime) - seconds_of(&before.ru_stime), report.nodes,
           (double)report.memory_bytes / MIB, report.deleted, report.containers, report.rewritten, peak_mib(),
           anonymous_mib());
}

static int count_only(const char *directory)
{
    struct error err;
    struct store_open_options options = {.reserved_bytes = 1};
    struct scale scale = {.store = store_open(directory, &options, &err)};
    if (scale.store == NULL) {
        die(&err);
    }
    collect(&scale, "collection, dry run", true);
    store_close(scale.store);
    return 0;
}

int main(int argc, char **argv)
{
    struct error err;
    struct scale scale = {.random = 1};
    struct store_settings settings = {0};
    struct store_open_options options = {.reserved_bytes = 1};
    struct store_status status;
    if (argc == 2) {
        return count_only(argv[1]);
    }
    if (argc != 6) {
        fprintf(stderr, "usage: scale_store DIR [DISKS GIB POINTS CHANGE_PER_MILLE]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    size_t disks = strtoul(argv[2], NULL, 10);
    uint64_t size = strtoull(argv[3], NULL, 10) * KIB * MIB;
    size_t points = strtoul(argv[4], NULL, 10);
    unsigned per_mille = (unsigned)strtoul(argv[5], NULL, 10);
    check(store_create(argv[1], &settings, &err), err);
    scale.store = store_open(argv[1], &options, &err);
    struct chunk_name *roots = memory_array(disks, sizeof *roots);
    char(*oldest)[IDENTITY_SIZE] = memory_array(disks, IDENTITY_SIZE);
    char id[IDENTITY_SIZE];
    char(*datasources)[IDENTITY_SIZE] = memory_array(disks, IDENTITY_SIZE);
    double began = now_s();
    for (size_t i = 0; i < disks; i++) {
        identity_create(datasources[i]);
        first_point(&scale, size, &roots[i]);
        commit(&scale, datasources[i], size, &roots[i], oldest[i]);
    }
    printf("first points: %.2f s, %" PRIu64 " chunks\n", now_s() - began, scale.chunks);
    collect(&scale, "collection with one point a disk", false);
    began = now_s();
    uint64_t before = scale.chunks;
    double slowest = 0;
    for (size_t p = 1; p < points; p++) {
        for (size_t i = 0; i < disks; i++) {
            double start = now_s();
            next_point(&scale, size, per_mille, &roots[i]);
            commit(&scale, datasources[i], size, &roots[i], id);
            slowest = now_s() - start > slowest ? now_s() - start : slowest;
        }
    }
    printf("next points: %.2f s, %" PRIu64 " chunks, slowest point %.3f s, peak %.0f MiB\n", now_s() - began,
           scale.chunks - before, slowest, peak_mib());
    check(store_status_read(scale.store, &status, &err), err);
    printf("index %.1f MiB (%.1f bytes a chunk), containers %.1f MiB, %" PRIu64 " nodes\n",
           (double)status.index_bytes / MIB, (double)status.index_bytes / (double)status.chunks,
           (double)status.container_bytes / MIB, status.nodes);
    store_close(scale.store);
    began = now_s();
    scale.store = store_open(argv[1], &options, &err);
    printf("open: %.2f s\n", now_s() - began);
    began = now_s();
    uint64_t listed = 0;
    check(point_list(scale.store, count_point, &listed, &err), err);
    printf("list %" PRIu64 " points: %.3f s\n", listed, now_s() - began);
    collect(&scale, "collection with all points", false);
    began = now_s();
    for (size_t i = 0; i < disks; i++) {
        check(point_delete(scale.store, oldest[i], &err), err);
    }
    printf("delete %zu points: %.3f s\n", disks, now_s() - began);
    collect(&scale, "collection after that", false);
    store_close(scale.store);
    free(roots);
    free(oldest);
    free(datasources);
    return 0;
}
