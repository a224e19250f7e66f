/*
 * The real store engine over a file system that stops or fails at every single operation of a day's work:
 * backups that share chunks, an interrupted transfer, deletions, collections, a rebuilt index. After each:
 * what was committed is there and reads bit for bit, what was not is absent or whole, the store takes a new
 * backup and verifies.
 *
 *   crash_store [--seeds N] | --seed S --at N | --fault N
 *
 * tries N seeds (default 2) at every operation, and faults; else one of them again. $CRASH_TRACE lists
 * operations.
 */
#include "crash_fs.h"

#include "base/identity.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/keys.h"
#include "storage/maintenance.h"
#include "storage/store_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNKS = 10, CHUNK = STORE_CHUNK_SIZE_DEFAULT, POINTS_MAX = 16, CONTAINER = 400 * 1024 };
static const uint64_t disk_size = (uint64_t)CHUNKS * CHUNK;
static const char directory[] = "/store";
static const uint8_t key_bytes[STORE_KEY_FILE_MIN] = {1, 2, 3, 4, 5};
static const struct store_secret key = {
    .kind = STORE_KEY_FILE, .bytes = key_bytes, .length = sizeof key_bytes};

enum fate { FATE_NONE, FATE_COMMITTING, FATE_COMMITTED, FATE_DELETING, FATE_DELETED };

struct model_point {
    char id[IDENTITY_SIZE];
    uint32_t seed; /* of its first chunk */
    enum fate fate;
};

struct world {
    struct crash_fs *fs;
    char index_path[128];
    bool encrypted;
    struct model_point points[POINTS_MAX];
    size_t point_count;
    char datasource[IDENTITY_SIZE];
};

static struct {
    uint64_t seed;
    unsigned at;
    const char *kind;
} current;

static void die(const char *what, const struct error *err)
{
    char text[3 * ERROR_TEXT_MAX] = "";
    fprintf(stderr, "FAILED: %s (%s at operation %u, seed %llu)%s%s\n", what, current.kind, current.at,
            (unsigned long long)current.seed, err != NULL ? ": " : "",
            err != NULL ? error_format(err, text, sizeof text) : "");
    abort();
}

/* --- the store */

static struct store *open_store(struct world *world, struct error *err)
{
    struct backend *backend = backend_file_create(directory, crash_fs_table(world->fs));
    struct store_open_options options = {
        .reserved_bytes = 1, .container_bytes = CONTAINER, .secret = world->encrypted ? &key : NULL};
    return store_open_backend(backend, directory, world->index_path, &options, err);
}

static void create_store(struct world *world)
{
    struct error err;
    struct backend *backend = backend_file_create(directory, crash_fs_table(world->fs));
    struct store_settings settings = {.secret = world->encrypted ? &key : NULL};
    if (store_create_backend(backend, &settings, &err) != 0) {
        die("the store can't be made", &err);
    }
    backend->operations->destroy(backend);
}

static void remove_index(const struct world *world)
{
    struct error err;
    if (os_path_remove_tree(world->index_path, &err) != 0) {
        die("the index can't be removed", &err);
    }
}

static void make_chunk(uint32_t seed, uint8_t *out)
{
    uint64_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < CHUNK; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(state >> 56);
    }
}

/* --- the work: every step gives up at the first failure */

static int write_map(struct store *store, uint32_t seed, size_t run, struct chunk_name *root,
                     struct error *err)
{
    static uint8_t plain[STORE_RUN_MAX * CHUNK];
    struct chunk_name names[STORE_RUN_MAX];
    struct map_writer *writer = map_writer_open(store, disk_size, NULL, 0, err);
    int result = writer != NULL ? 0 : -1;
    for (uint32_t i = 0; i < CHUNKS && result == 0; i += (uint32_t)run) {
        for (uint32_t j = 0; j < run; j++) {
            make_chunk(seed + i + j, plain + j * CHUNK);
            chunk_name_of(plain + j * CHUNK, CHUNK, &names[j]);
        }
        struct chunk_run put = {.names = names, .count = run, .payload = plain, .length = run * CHUNK};
        struct chunk_put_result put_result;
        result = chunk_put_run(store, &put, &put_result, err);
        for (uint32_t j = 0; j < run && result == 0; j++) {
            result = map_writer_set(writer, i + j, &names[j], err);
        }
    }
    if (result == 0) {
        result = map_writer_flush(writer, root, err);
    }
    map_writer_destroy(writer);
    return result;
}

static int back_up(struct world *world, struct store *store, uint32_t seed, size_t run, struct error *err)
{
    struct model_point *model = &world->points[world->point_count++];
    struct chunk_name root;
    identity_create(model->id);
    model->seed = seed;
    model->fate = FATE_NONE;
    if (write_map(store, seed, run, &root, err) != 0) {
        return -1;
    }
    struct point *point = point_create();
    memcpy(point->id, model->id, IDENTITY_SIZE);
    memcpy(point->datasource, world->datasource, IDENTITY_SIZE);
    struct point_disk *disk = point_add_disk(point, "vda");
    disk->size = disk_size;
    disk->root = root;
    model->fate = FATE_COMMITTING;
    int result = point_commit(store, point, err);
    model->fate = result == 0 ? FATE_COMMITTED : FATE_COMMITTING;
    point_destroy(point);
    return result;
}

static int delete_point(struct world *world, struct store *store, size_t at, struct error *err)
{
    struct model_point *model = &world->points[at];
    if (model->fate != FATE_COMMITTED) {
        return 0;
    }
    model->fate = FATE_DELETING;
    int result = point_delete(store, model->id, err);
    model->fate = result == 0 ? FATE_DELETED : FATE_DELETING;
    return result;
}

static int interrupted_transfer(struct world *world, struct store *store, uint32_t seed, struct error *err)
{
    struct chunk_name root;
    return write_map(store, seed, 1, &root, err) != 0
               ? -1
               : partial_save(store, world->datasource, "vda", disk_size, &root, err);
}

static int collect(struct store *store, struct error *err)
{
    struct collect_options options = {0};
    struct collect_report report;
    return store_collect(store, &options, NULL, NULL, &report, err);
}

/* A day's work. With faults the steps after a failed one are done all the same. */
static void work(struct world *world, struct store *store)
{
    struct error err;
    back_up(world, store, 1, 5, &err);
    back_up(world, store, 6, 1, &err);
    interrupted_transfer(world, store, 101, &err);
    delete_point(world, store, 0, &err);
    collect(store, &err);
    back_up(world, store, 1, 2, &err); /* what was garbage is needed again */
    back_up(world, store, 101, 1, &err);
    partial_remove(store, world->datasource, &err);
    delete_point(world, store, 1, &err);
    delete_point(world, store, 2, &err);
    collect(store, &err);
    store_rebuild_index(store, NULL, NULL, &err);
    back_up(world, store, 201, 5, &err);
}

/* --- what must hold */

static void check_reads(struct store *store, const struct model_point *model)
{
    static uint8_t got[CHUNK];
    static uint8_t wanted[CHUNK];
    struct error err;
    struct point *point = point_read(store, model->id, &err);
    struct map_reader *reader =
        point != NULL ? map_reader_open(store, &point->disks[0].root, disk_size, &err) : NULL;
    if (reader == NULL) {
        die("a committed point can't be read", &err);
    }
    for (uint32_t i = 0; i < CHUNKS; i++) {
        struct chunk_name name;
        if (map_reader_get(reader, i, &name, &err) != 0 || chunk_read(store, &name, got, &err) != 0) {
            die("a chunk of a committed point can't be read", &err);
        }
        make_chunk(model->seed + i, wanted);
        if (memcmp(got, wanted, CHUNK) != 0) {
            die("a committed point has other data", NULL);
        }
    }
    map_reader_destroy(reader);
    point_destroy(point);
}

struct listing {
    const struct world *world;
    struct store *store;
};

/* Whatever is listed is whole, whether its commit came back or not. */
static int on_listed(void *cookie, const char *id)
{
    const struct listing *listing = cookie;
    for (size_t i = 0; i < listing->world->point_count; i++) {
        const struct model_point *model = &listing->world->points[i];
        if (strcmp(model->id, id) == 0) {
            if (model->fate == FATE_DELETED || model->fate == FATE_NONE) {
                die("a point is listed that is not there", NULL);
            }
            check_reads(listing->store, model);
        }
    }
    return 0;
}

static void check_verify(struct store *store)
{
    struct error err;
    struct verify_report report;
    if (store_verify(store, NULL, NULL, &report, &err) != 0) {
        die("the store can't be verified", &err);
    }
    for (size_t i = 0; i < report.damaged_point_count; i++) {
        fprintf(stderr, "damaged: %s\n", report.damaged_points[i]);
    }
    if (report.damaged_chunks != 0 || report.damaged_point_count != 0) {
        die("verify finds damage", NULL);
    }
    verify_report_clear(&report);
}

static void check_world(struct world *world)
{
    struct error err;
    struct store *store = open_store(world, &err);
    if (store == NULL) {
        die("the store can't be opened again", &err);
    }
    struct listing listing = {.world = world, .store = store};
    if (point_list(store, on_listed, &listing, &err) != 0) {
        die("the points can't be listed", &err);
    }
    for (size_t i = 0; i < world->point_count; i++) {
        if (world->points[i].fate == FATE_COMMITTED) {
            check_reads(store, &world->points[i]);
        }
    }
    check_verify(store);
    if (back_up(world, store, 3, 1, &err) != 0) {
        die("the store takes no new backup", &err);
    }
    if (collect(store, &err) != 0) {
        die("the store can't be collected", &err);
    }
    for (size_t i = 0; i < world->point_count; i++) {
        if (world->points[i].fate == FATE_COMMITTED) {
            check_reads(store, &world->points[i]);
        }
    }
    check_verify(store);
    store_close(store);
}

/* --- one try */

static struct world begin(uint64_t seed)
{
    struct world world = {.fs = crash_fs_create(), .encrypted = seed % 2 == 1};
    const char *memory = os_path_exists("/dev/shm") ? "/dev/shm" : "/tmp"; /* the index syncs a lot */
    snprintf(world.index_path, sizeof world.index_path, "%s/holdfast-crash-%ld", memory, (long)getpid());
    identity_create(world.datasource);
    remove_index(&world);
    create_store(&world);
    return world;
}

static void end(struct world *world)
{
    remove_index(world);
    crash_fs_destroy(world->fs);
}

static unsigned count_operations(uint64_t seed)
{
    struct error err;
    current.kind = "nothing";
    struct world world = begin(seed);
    struct store *store = open_store(&world, &err);
    if (store == NULL) {
        die("the store can't be opened", &err);
    }
    work(&world, store);
    store_close(store);
    unsigned operations = crash_fs_operations(world.fs);
    for (size_t i = 0; i < world.point_count; i++) {
        if (world.points[i].fate != FATE_COMMITTED && world.points[i].fate != FATE_DELETED) {
            die("the work is not done without any fault", NULL);
        }
    }
    check_world(&world);
    end(&world);
    return operations;
}

/* The machine stops at operation `at`. */
static void try_crash(uint64_t seed, unsigned at)
{
    struct error err;
    current.kind = "crash";
    current.seed = seed;
    current.at = at;
    struct world world = begin(seed);
    crash_fs_stop_at(world.fs, at);
    struct store *store = open_store(&world, &err);
    if (store != NULL) {
        work(&world, store);
        store_close(store);
    }
    crash_fs_crash(world.fs, seed * 1000003 + at);
    if (seed / 2 % 2 == 1) {
        remove_index(&world); /* lost as well */
    }
    check_world(&world);
    end(&world);
}

/* Operation `at` fails; then the disk is well again, and the store is closed and opened. */
static void try_fault(uint64_t seed, unsigned at, const char *kind, int errnum, bool short_write)
{
    struct error err;
    current.kind = kind;
    current.seed = seed;
    current.at = at;
    struct world world = begin(seed);
    struct store *store = open_store(&world, &err);
    if (store == NULL) {
        die("the store can't be opened", &err);
    }
    crash_fs_fail_at(world.fs, at, errnum, short_write);
    work(&world, store);
    store_close(store);
    crash_fs_fail_at(world.fs, 0, 0, false);
    check_world(&world);
    end(&world);
}

static void try_faults(unsigned at)
{
    try_fault(at, at, "no space", ENOSPC, false);
    try_fault(at, at, "short write", ENOSPC, true);
    try_fault(at, at, "I/O error", EIO, false);
}

static unsigned long number_of(const char *text)
{
    return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    unsigned long seeds = 2;
    unsigned long seed = 0;
    unsigned long at = 0;
    unsigned long fault = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = number_of(argv[i + 1]);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = number_of(argv[i + 1]);
        } else if (strcmp(argv[i], "--at") == 0) {
            at = number_of(argv[i + 1]);
        } else if (strcmp(argv[i], "--fault") == 0) {
            fault = number_of(argv[i + 1]);
        }
    }
    log_init("crash", LOG_ERROR + 1);
    if (fault != 0) {
        try_faults((unsigned)fault);
        return 0;
    }
    if (at != 0) {
        try_crash(seed, (unsigned)at);
        return 0;
    }
    unsigned crashes = 0;
    unsigned faults = 0;
    unsigned operations = count_operations(1);
    for (uint64_t s = 1; s <= seeds; s++) {
        for (unsigned n = 1; n <= operations; n++, crashes++) {
            try_crash(s, n);
        }
    }
    unsigned first = 8; /* opening the store comes before */
    for (unsigned n = first; n <= operations; n++, faults += 3) {
        try_faults(n);
    }
    printf("tried %u crash points (%u operations, %lu seeds) and %u faults\n", crashes, operations, seeds,
           faults);
    return 0;
}
