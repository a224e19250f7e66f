#include "crash_world.h"

#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/keys.h"
#include "storage/store_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK = STORE_CHUNK_SIZE_DEFAULT,
    APART = 37,
    DISK_CHUNKS = CHUNKS * APART,
    SEEDS = 256,
    CONTAINER = 240 * 1024
};
static const uint64_t disk_size = (uint64_t)DISK_CHUNKS * CHUNK;
static const char directory[] = "/store";
static const uint8_t key_bytes[STORE_KEY_FILE_MIN] = {1, 2, 3, 4, 5};
static const struct store_secret key = {
    .kind = STORE_KEY_FILE, .bytes = key_bytes, .length = sizeof key_bytes};

void (*world_explain)(void);

void die(const char *what, const struct error *err)
{
    char text[3 * ERROR_TEXT_MAX] = "";
    fprintf(stderr, "FAILED: %s%s%s\n", what, err != NULL ? ": " : "",
            err != NULL ? error_format(err, text, sizeof text) : "");
    world_explain();
    abort();
}

/* --- the store */

void world_begin(struct world *world, bool encrypted)
{
    const char *memory = os_path_exists("/dev/shm") ? "/dev/shm" : "/tmp"; /* the index syncs a lot */
    struct error err;
    *world = (struct world){.fs = crash_fs_create(), .encrypted = encrypted};
    snprintf(world->index_path, sizeof world->index_path, "%s/holdfast-crash-%ld", memory, (long)getpid());
    snprintf(world->real_path, sizeof world->real_path, "%s/holdfast-crash-%ld-store", memory,
             (long)getpid());
    identity_create(world->datasource);
    world_remove_index(world);
    if (os_path_remove_tree(world->real_path, &err) != 0) {
        die("an earlier store can't be removed", &err);
    }
}

void world_end(struct world *world)
{
    struct error err;
    world_remove_index(world);
    if (os_path_remove_tree(world->real_path, &err) != 0) {
        die("a store can't be removed", &err);
    }
    crash_fs_destroy(world->fs);
}

void world_remove_index(const struct world *world)
{
    struct error err;
    if (os_path_remove_tree(world->index_path, &err) != 0) {
        die("the index can't be removed", &err);
    }
}

int world_create_store(struct world *world, struct error *err)
{
    struct backend *backend = backend_file_create(directory, crash_fs_table(world->fs));
    struct store_settings settings = {.secret = world->encrypted ? &key : NULL};
    int result = store_create_backend(backend, &settings, err);
    backend->operations->destroy(backend);
    return result;
}

struct store *world_open_store(struct world *world, struct error *err)
{
    struct store_open_options options = {
        .reserved_bytes = 1, .container_bytes = CONTAINER, .secret = world->encrypted ? &key : NULL};
    if (os_path_exists(world->real_path)) {
        return store_open(world->real_path, &options, err);
    }
    struct backend *backend = backend_file_create(directory, crash_fs_table(world->fs));
    return store_open_backend(backend, directory, world->index_path, &options, err);
}

/* --- chunks */

static const uint8_t *chunk_of(uint32_t seed)
{
    static uint8_t chunks[SEEDS][CHUNK]; /* made once */
    static bool made[SEEDS];
    if (seed >= SEEDS) {
        die("a seed too large", NULL);
    }
    uint64_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < CHUNK && !made[seed] && seed != 0; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        chunks[seed][i] = (uint8_t)(state >> 56);
    }
    made[seed] = true;
    return chunks[seed];
}

static const struct chunk_name *name_of(uint32_t seed)
{
    static struct chunk_name names[SEEDS];
    if (chunk_name_is_zero(&names[seed]) && seed != 0) {
        chunk_name_of(chunk_of(seed), CHUNK, &names[seed]);
    }
    return &names[seed];
}

static struct model_disk disk_from(uint32_t first_seed)
{
    struct model_disk disk;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        disk.seeds[i] = first_seed + i;
    }
    return disk;
}

/* --- steps */

static int put_run(struct store *store, const uint32_t *seeds, size_t count, struct error *err)
{
    static uint8_t plain[STORE_RUN_MAX * CHUNK];
    struct chunk_name names[STORE_RUN_MAX];
    struct chunk_put_result result;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (seeds[i] != 0) {
            memcpy(plain + used * CHUNK, chunk_of(seeds[i]), CHUNK);
            names[used++] = *name_of(seeds[i]);
        }
    }
    struct chunk_run run = {.names = names, .count = used, .payload = plain, .length = used * CHUNK};
    return used > 0 ? chunk_put_run(store, &run, &result, err) : 0;
}

/* The chunks that differ from the base (NULL: from zeros) in runs, and the map. */
static int write_disk(struct store *store, struct model_disk *disk, const struct model_disk *base, size_t run,
                      struct error *err)
{
    struct map_writer *writer = map_writer_open(store, disk_size, base != NULL ? &base->root : NULL,
                                                base != NULL ? disk_size : 0, err);
    int result = writer != NULL ? 0 : -1;
    for (size_t i = 0; i < CHUNKS && result == 0; i += run) {
        size_t count = run < CHUNKS - i ? run : CHUNKS - i;
        bool same =
            base != NULL && memcmp(disk->seeds + i, base->seeds + i, count * sizeof *disk->seeds) == 0;
        result = same ? 0 : put_run(store, disk->seeds + i, count, err);
        for (size_t j = i; j < i + count && !same && result == 0; j++) {
            result = map_writer_set(writer, j * APART, name_of(disk->seeds[j]), err);
        }
    }
    if (result == 0) {
        result = map_writer_flush(writer, &disk->root, err);
    }
    map_writer_destroy(writer);
    return result;
}

static int back_up(struct world *world, struct store *store, struct model_disk disk,
                   const struct model_disk *base, size_t run, struct error *err)
{
    if (world->point_count == POINTS_MAX) {
        die("too many points", NULL);
    }
    struct model_point *model = &world->points[world->point_count++];
    *model = (struct model_point){.disk = disk};
    identity_create(model->id);
    if (write_disk(store, &model->disk, base, run, err) != 0) {
        return -1;
    }
    struct point *point = point_create();
    memcpy(point->id, model->id, IDENTITY_SIZE);
    memcpy(point->datasource, world->datasource, IDENTITY_SIZE);
    point->time_ms = (int64_t)world->point_count;
    struct point_disk *point_disk = point_add_disk(point, "vda");
    point_disk->size = disk_size;
    point_disk->root = model->disk.root;
    model->fate = FATE_COMMITTING;
    int result = point_commit(store, point, err);
    model->fate = result == 0 ? FATE_COMMITTED : FATE_COMMITTING;
    point_destroy(point);
    return result;
}

static int delete_point(struct world *world, struct store *store, size_t at, struct error *err)
{
    struct model_point *model = at < world->point_count ? &world->points[at] : NULL;
    if (model == NULL || model->fate != FATE_COMMITTED) {
        return 0;
    }
    model->fate = FATE_DELETING;
    int result = point_delete(store, model->id, err);
    model->fate = result == 0 ? FATE_DELETED : FATE_DELETING;
    return result;
}

static int interrupted_transfer(struct world *world, struct store *store, struct model_disk disk,
                                struct error *err)
{
    if (write_disk(store, &disk, NULL, 1, err) != 0) {
        return -1;
    }
    world->partials[world->partial_count++] = disk;
    world->partial_removed = false;
    int result = partial_save(store, world->datasource, "vda", disk_size, &disk.root, err);
    world->partial_sure = result == 0;
    return result;
}

static int remove_partial(struct world *world, struct store *store, struct error *err)
{
    int result = partial_remove(store, world->datasource, err);
    world->partial_sure = result == 0;
    world->partial_removed = true;
    return result;
}

static int collect(struct store *store, unsigned live_percent, struct error *err)
{
    struct collect_options options = {.live_percent = live_percent};
    struct collect_report report;
    return store_collect(store, &options, NULL, NULL, &report, err);
}

/* --- the work */

static void done(struct world *world, const char *step, int result, const struct error *err)
{
    if (result == 0) {
        return;
    }
    if (err->code != ERROR_STORE_FULL && err->code != ERROR_STORE_UNAVAILABLE) {
        die(step, err);
    }
    if (getenv("CRASH_TRACE") != NULL) {
        fprintf(stderr, "  %s failed\n", step);
    }
    if (world->failures++ == 0) {
        world->first_failure = err->code;
    }
}

/* The newest point that was committed and not deleted; NULL: none. */
static const struct model_disk *newest(const struct world *world)
{
    for (size_t i = world->point_count; i > 0; i--) {
        if (world->points[i - 1].fate == FATE_COMMITTED) {
            return &world->points[i - 1].disk;
        }
    }
    return NULL;
}

static void first_days(struct world *world, struct store *store)
{
    struct error err;
    struct model_disk disk = disk_from(101);
    memset(disk.seeds + CHUNKS / 2, 0, CHUNKS / 2 * sizeof *disk.seeds);
    done(world, "full backup", back_up(world, store, disk_from(1), NULL, 3, &err), &err);
    done(world, "sharing backup", back_up(world, store, disk_from(6), NULL, 1, &err), &err);
    done(world, "partial save", interrupted_transfer(world, store, disk, &err), &err);
    done(world, "second partial save", interrupted_transfer(world, store, disk_from(101), &err), &err);
    done(world, "third partial save", interrupted_transfer(world, store, disk_from(111), &err), &err);
    done(world, "deletion", delete_point(world, store, 0, &err), &err);
    done(world, "collection", collect(store, 0, &err), &err);
    done(world, "backup of garbage", back_up(world, store, disk_from(1), NULL, 2, &err), &err);
}

static void later_days(struct world *world, struct store *store)
{
    struct error err;
    const struct model_disk *base = newest(world);
    struct model_disk disk = base != NULL ? *base : disk_from(1);
    disk.seeds[3] = 50;
    disk.seeds[7] = 0;
    done(world, "incremental backup", back_up(world, store, disk, base, 1, &err), &err);
    done(world, "resumed backup", back_up(world, store, disk_from(101), NULL, 1, &err), &err);
    done(world, "partial removal", remove_partial(world, store, &err), &err);
    done(world, "second deletion", delete_point(world, store, 1, &err), &err);
    done(world, "third deletion", delete_point(world, store, 2, &err), &err);
    done(world, "second collection", collect(store, 0, &err), &err);
    done(world, "rebuild", store_rebuild_index(store, NULL, NULL, &err), &err);
    done(world, "backup after rebuild", back_up(world, store, disk_from(201), NULL, 3, &err), &err);
    done(world, "fourth deletion", delete_point(world, store, 3, &err), &err);
    done(world, "full collection", collect(store, 100, &err), &err);
    done(world, "last backup", back_up(world, store, disk_from(45), NULL, 3, &err), &err);
}

struct store *world_work(struct world *world)
{
    struct error err;
    struct store *store = world_open_store(world, &err);
    if (store != NULL) {
        first_days(world, store);
    }
    if (store != NULL && world->reopens) {
        store_close(store);
        store = world_open_store(world, &err);
    }
    if (store != NULL) {
        later_days(world, store);
    }
    return store;
}

/* --- what must hold */

static void check_disk(struct store *store, const struct model_disk *disk, const struct chunk_name *root,
                       const char *what)
{
    static uint8_t got[CHUNK];
    static const uint8_t zeros[CHUNK];
    struct error err;
    struct map_entry entries[CHUNKS + 1];
    uint64_t next = 0;
    size_t count;
    size_t at = 0;
    struct map_reader *reader = map_reader_open(store, root, disk_size, &err);
    if (reader == NULL || map_reader_list(reader, &next, entries, CHUNKS + 1, &count, &err) != 0) {
        die(what, &err);
    }
    for (size_t i = 0; i < CHUNKS; i++) {
        const uint8_t *wanted = disk->seeds[i] != 0 ? chunk_of(disk->seeds[i]) : zeros;
        struct chunk_name name;
        if (map_reader_get(reader, i * APART, &name, &err) != 0 || chunk_read(store, &name, got, &err) != 0) {
            die(what, &err);
        }
        if (memcmp(got, wanted, CHUNK) != 0 ||
            (disk->seeds[i] != 0 && (at == count || entries[at++].index != i * APART))) {
            die("a disk has other data", NULL);
        }
    }
    if (at != count) {
        die("a disk has more data", NULL);
    }
    map_reader_destroy(reader);
}

static void check_point(struct store *store, const struct model_point *model)
{
    struct error err;
    uint64_t missing;
    struct point *point = point_read(store, model->id, &err);
    if (point == NULL) {
        die("a point can't be read", &err);
    }
    int whole = store_check_point(store, model->id, &missing, &err);
    if (whole != 1) {
        die("a point is not whole", whole < 0 ? &err : NULL);
    }
    if (point->disk_count != 1 || point->disks[0].size != disk_size ||
        !chunk_name_equal(&point->disks[0].root, &model->disk.root)) {
        die("a point is another one", NULL);
    }
    check_disk(store, &model->disk, &point->disks[0].root, "a point's data can't be read");
    point_destroy(point);
}

struct listing {
    const struct world *world;
    struct store *store;
    bool listed[POINTS_MAX];
};

/* Whatever is listed is whole, whether its commit came back or not. */
static int on_listed(void *cookie, const char *id)
{
    struct listing *listing = cookie;
    size_t at = 0;
    while (at < listing->world->point_count && strcmp(listing->world->points[at].id, id) != 0) {
        at++;
    }
    if (at == listing->world->point_count || listing->world->points[at].fate == FATE_NONE ||
        listing->world->points[at].fate == FATE_DELETED) {
        die("a point is listed that is not there", NULL);
    }
    listing->listed[at] = true;
    check_point(listing->store, &listing->world->points[at]);
    return 0;
}

static void check_points(const struct world *world, struct store *store)
{
    struct error err;
    struct listing listing = {.world = world, .store = store};
    if (point_list(store, on_listed, &listing, &err) != 0) {
        die("the points can't be listed", &err);
    }
    for (size_t i = 0; i < world->point_count; i++) {
        if (world->points[i].fate == FATE_COMMITTED && !listing.listed[i]) {
            die("a committed point is not listed", NULL);
        }
    }
}

static void check_partial(const struct world *world, struct store *store)
{
    struct error err;
    struct chunk_name root;
    uint64_t size;
    size_t at = 0;
    int found = partial_load(store, world->datasource, "vda", &size, &root, &err);
    if (found < 0) {
        die("the partial map can't be loaded", &err);
    }
    if (world->partial_sure && found != !world->partial_removed) {
        die(found ? "a partial map is there that was removed" : "a partial map is lost", NULL);
    }
    if (found == 0) {
        return;
    }
    while (at < world->partial_count && !chunk_name_equal(&world->partials[at].root, &root)) {
        at++;
    }
    if (at == world->partial_count || (world->partial_sure && at != world->partial_count - 1) ||
        size != disk_size) {
        die("the partial map is another one", NULL);
    }
    check_disk(store, &world->partials[at], &root, "the partial map can't be read");
}

static void check_verify(struct store *store)
{
    struct error err;
    struct verify_report report;
    if (store_verify(store, NULL, NULL, &report, &err) != 0) {
        die("the store can't be verified", &err);
    }
    if (report.damaged_chunks != 0 || report.damaged_point_count != 0) {
        die("verify finds damage", NULL);
    }
    verify_report_clear(&report);
}

void world_check(struct world *world, struct store *store)
{
    check_points(world, store);
    check_partial(world, store);
    check_verify(store);
}

void world_go_on(struct world *world, struct store *store)
{
    /* Some of all that was ever put, so that it is looked up among what the crash left. */
    static const struct model_disk some = {.seeds = {3, 12, 101, 107, 50, 203, 113, 46, 209, 9}};
    struct error err;
    if (back_up(world, store, some, NULL, 2, &err) != 0) {
        die("the store takes no new backup", &err);
    }
}

void world_collect(struct world *world, struct store *store)
{
    struct error err;
    if (collect(store, 0, &err) != 0) {
        die("the store can't be collected", &err);
    }
    world_check(world, store);
}
