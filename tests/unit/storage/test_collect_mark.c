/* Marking by two threads, in stores with many map nodes: exactly what is needed is marked, and what can't be
 * read is not guessed. */
#include "store_fixture.h"

#include "base/identity.h"
#include "storage/map_node.h"
#include "storage/point.h"
#include "storage/store_internal.h"
#include "storage/writers.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    LEAVES = 600, /* more than one thread takes at once */
    IN_LEAF = 4,  /* entries that are used */
    ENTRIES = LEAVES * IN_LEAF,
    CONTAINER = 256 * 1024,
    POINTS = 6,
    NAMES = ENTRIES + POINTS * 100,
};
static const uint64_t disk_size = (uint64_t)LEAVES * MAP_FANOUT * STORE_CHUNK_SIZE_DEFAULT;

static int set_up(void **state)
{
    fixture_set_up(state);
    struct fixture *fixture = *state;
    struct error err;
    struct store_open_options options = {.reserved_bytes = 1, .container_bytes = CONTAINER};
    store_close(fixture->store);
    fixture->store = store_open(fixture->directory, &options, &err);
    assert_non_null(fixture->store);
    return 0;
}

/* --- disks whose chunks are names with next to nothing behind them */

static struct chunk_name name_of(uint32_t number)
{
    struct chunk_name name;
    chunk_name_of(&number, sizeof number, &name);
    return name;
}

static void put(struct store *store, uint32_t number)
{
    uint8_t bytes[256];
    static const uint8_t payload[16];
    struct chunk_name name = name_of(number);
    struct stored_name stored;
    struct error err;
    seal_name(store->seal, &name, &stored);
    record_encode(bytes, NULL, RECORD_RUN, RECORD_ZSTD, &stored, 1, payload, sizeof payload,
                  STORE_CHUNK_SIZE_DEFAULT);
    pthread_rwlock_rdlock(&store->gate);
    check(store_append(store, bytes, &err), err);
    pthread_rwlock_unlock(&store->gate);
}

struct disk {
    uint32_t numbers[ENTRIES];
    struct chunk_name root;
};

static void write_disk(struct store *store, struct disk *disk)
{
    struct error err;
    struct map_writer *writer = map_writer_open(store, disk_size, NULL, 0, &err);
    assert_non_null(writer);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct chunk_name name = name_of(disk->numbers[i]);
        check(map_writer_set(writer, (uint64_t)i / IN_LEAF * MAP_FANOUT + i % IN_LEAF, &name, &err), err);
    }
    check(map_writer_flush(writer, &disk->root, &err), err);
    map_writer_destroy(writer);
}

static void commit(struct store *store, const char *datasource, const struct chunk_name *root,
                   char id[IDENTITY_SIZE])
{
    static atomic_int time;
    struct error err;
    struct point *point = point_create();
    identity_create(point->id);
    memcpy(point->datasource, datasource, IDENTITY_SIZE);
    struct point_disk *disk = point_add_disk(point, "vda");
    disk->size = disk_size;
    disk->root = *root;
    point->time_ms = atomic_fetch_add(&time, 1);
    memcpy(id, point->id, IDENTITY_SIZE);
    check(point_commit(store, point, &err), err);
    point_destroy(point);
}

static void assert_whole(struct store *store, const char *id)
{
    struct error err;
    uint64_t missing = 0;
    assert_int_equal(store_check_point(store, id, &missing, &err), 1);
    assert_int_equal(missing, 0);
}

/* The first point of a disk. */
static void put_first(struct store *store, struct disk *disk, char id[IDENTITY_SIZE])
{
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        disk->numbers[i] = i;
        put(store, i);
    }
    write_disk(store, disk);
    commit(store, datasource, &disk->root, id);
}

/* --- exactly what is needed */

struct beside {
    struct store *store;
    struct disk disk;
    atomic_bool stop;
    size_t count;
    char ids[64][IDENTITY_SIZE];
};

/* Backups of another disk, which share chunks and nodes with what is collected meanwhile. */
static void *write_points(void *cookie)
{
    struct beside *beside = cookie;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    while (beside->count < 64 && (beside->count == 0 || !atomic_load(&beside->stop))) {
        struct store_writer *writer = store_writer_begin(beside->store);
        for (uint32_t i = 0; i < ENTRIES; i += 37) {
            struct chunk_name name = name_of(beside->disk.numbers[i]);
            if (!chunk_exists(beside->store, &name)) {
                put(beside->store, beside->disk.numbers[i]);
            }
        }
        struct disk part = {0};
        memcpy(part.numbers, beside->disk.numbers, sizeof part.numbers);
        for (uint32_t i = 0; i < ENTRIES; i++) {
            part.numbers[i] = part.numbers[i / 37 * 37];
        }
        write_disk(beside->store, &part);
        commit(beside->store, datasource, &part.root, beside->ids[beside->count++]);
        store_writer_end(writer);
    }
    return NULL;
}

struct history {
    char ids[POINTS][IDENTITY_SIZE];
    bool used[NAMES]; /* by the points that stay */
    size_t used_count;
};

/* Every second point is deleted. */
static void write_history(struct store *store, struct disk *disk, struct history *history)
{
    struct error err;
    char datasource[IDENTITY_SIZE];
    uint32_t next = ENTRIES;
    unsigned seed = 1;
    put_first(store, disk, history->ids[0]);
    identity_create(datasource);
    for (int p = 1; p < POINTS; p++) {
        for (int i = 0; i < 100; i++) {
            disk->numbers[(size_t)rand_r(&seed) % ENTRIES] = next;
            put(store, next++);
        }
        write_disk(store, disk);
        commit(store, datasource, &disk->root, history->ids[p]);
        for (size_t i = 0; i < ENTRIES && p % 2 == 1; i++) {
            history->used_count += !history->used[disk->numbers[i]];
            history->used[disk->numbers[i]] = true;
        }
    }
    for (int p = 0; p < POINTS; p += 2) {
        check(point_delete(store, history->ids[p], &err), err);
    }
}

static void collect_all(struct store *store, struct collect_report *report)
{
    struct error err;
    struct collect_options options = {.live_percent = 100};
    check(store_collect(store, &options, NULL, NULL, report, &err), err);
}

static void test_marks_what_is_needed_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = fixture->store;
    struct error err;
    struct disk *disk = memory_zalloc(sizeof *disk);
    struct history *history = memory_zalloc(sizeof *history);
    struct collect_report report;
    struct store_status status;
    write_history(store, disk, history);
    collect_all(store, &report);
    check(store_status_read(store, &status, &err), err);
    assert_int_equal(status.chunks, history->used_count);
    assert_int_equal(status.nodes, report.nodes);
    for (int p = 1; p < POINTS; p += 2) {
        assert_whole(store, history->ids[p]);
    }
    free(history);
    free(disk);
}

static void test_beside_backups(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = fixture->store;
    struct history *history = memory_zalloc(sizeof *history);
    struct beside *beside = memory_zalloc(sizeof *beside);
    struct collect_report report;
    pthread_t thread;
    beside->store = store;
    write_history(store, &beside->disk, history);
    assert_int_equal(pthread_create(&thread, NULL, write_points, beside), 0);
    collect_all(store, &report);
    atomic_store(&beside->stop, true);
    pthread_join(thread, NULL);
    for (int p = 1; p < POINTS; p += 2) {
        assert_whole(store, history->ids[p]);
    }
    for (size_t i = 0; i < beside->count; i++) {
        assert_whole(store, beside->ids[i]);
    }
    free(beside);
    free(history);
}

/* --- what can't be read */

static struct chunk_location locate_leaf(struct store *store, const struct chunk_name *root, unsigned leaf)
{
    struct map_entries entries;
    struct error err;
    struct chunk_name name = *root;
    struct chunk_location location;
    struct stored_name stored;
    check(map_node_read(store, &name, 2, &entries, &err), err);
    name = entries.names[leaf / MAP_FANOUT];
    check(map_node_read(store, &name, 1, &entries, &err), err);
    seal_name(store->seal, &entries.names[leaf % MAP_FANOUT], &stored);
    pthread_rwlock_rdlock(&store->gate);
    assert_int_equal(store_lookup(store, &stored, &location, &err), 1);
    pthread_rwlock_unlock(&store->gate);
    return location;
}

/* Turn a bit of the record over; again, and it is as it was. */
static void flip(const struct fixture *fixture, const struct chunk_location *location)
{
    char *path =
        memory_format("%s/containers/%02x/%016llx.hfc", fixture->directory,
                      (unsigned)(location->container & 255), (unsigned long long)location->container);
    int file = open(path, O_RDWR);
    uint8_t byte;
    off_t at = (off_t)location->offset + RECORD_HEADER_SIZE + RECORD_NAME_SIZE + MAP_NODE_HEADER_SIZE;
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
    free(path);
}

static void expect_refusal(struct fixture *fixture, const struct chunk_location *location, const char *id)
{
    struct error err;
    struct collect_options options = {.live_percent = 100};
    struct collect_report report;
    struct store_status before;
    struct store_status after;
    check(store_status_read(fixture->store, &before, &err), err);
    flip(fixture, location);
    assert_int_equal(store_collect(fixture->store, &options, NULL, NULL, &report, &err), -1);
    flip(fixture, location);
    assert_int_equal(err.code, ERROR_CHUNK_DAMAGED);
    assert_non_null(strstr(err.message, id));
    assert_int_equal(report.freed_bytes, 0);
    check(store_status_read(fixture->store, &after, &err), err);
    assert_int_equal(before.chunks, after.chunks);
    assert_int_equal(before.containers, after.containers);
}

/* Wherever it lies: in what the one thread reads, or the other, first or last in what is read in one go. */
static void test_unreadable_node_stops_all(void **state)
{
    static const unsigned leaves[] = {0, 1, 59, 60, 127, 128, 300, LEAVES - 1};
    struct fixture *fixture = *state;
    struct error err;
    struct disk *disk = memory_zalloc(sizeof *disk);
    char id[IDENTITY_SIZE];
    put(fixture->store, ENTRIES); /* garbage */
    put_first(fixture->store, disk, id);
    check(store_sync(fixture->store, &err), err);
    struct chunk_location locations[sizeof leaves / sizeof leaves[0]];
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        locations[i] = locate_leaf(fixture->store, &disk->root, leaves[i]);
    }
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        expect_refusal(fixture, &locations[i], id);
    }
    free(disk);
}

/* --- cancelling */

static bool cancel_in_mark(void *cookie, const struct maintenance_progress *progress)
{
    (void)cookie;
    return strcmp(progress->phase, "mark") == 0;
}

/* A map of so many leaves with one entry each, of chunks that nobody has put. */
static void write_sparse(struct store *store, uint32_t leaves, uint32_t seed, struct chunk_name *root)
{
    struct error err;
    uint64_t size = (uint64_t)leaves * MAP_FANOUT * STORE_CHUNK_SIZE_DEFAULT;
    struct map_writer *writer = map_writer_open(store, size, NULL, 0, &err);
    assert_non_null(writer);
    for (uint32_t i = 0; i < leaves; i++) {
        struct chunk_name name = name_of(seed + i);
        check(map_writer_set(writer, (uint64_t)i * MAP_FANOUT, &name, &err), err);
    }
    check(map_writer_flush(writer, root, &err), err);
    map_writer_destroy(writer);
}

static void test_cancelled_while_marking(void **state)
{
    enum { MANY = 2000, TREES = 3, NODES_MAX = MANY + MANY / MAP_FANOUT + 2 };
    struct fixture *fixture = *state;
    struct error err;
    struct collect_options options = {0};
    struct collect_report report;
    for (uint32_t i = 0; i < TREES; i++) {
        char datasource[IDENTITY_SIZE];
        char id[IDENTITY_SIZE];
        struct chunk_name root;
        identity_create(datasource);
        write_sparse(fixture->store, MANY, i * MANY, &root);
        commit(fixture->store, datasource, &root, id);
    }
    assert_int_equal(store_collect(fixture->store, &options, cancel_in_mark, NULL, &report, &err), -1);
    assert_int_equal(err.code, ERROR_JOB_CANCELLED);
    assert_in_range(report.nodes, 1, NODES_MAX); /* nothing of the next tree */
    check(store_collect(fixture->store, &options, NULL, NULL, &report, &err), err);
    assert_in_range(report.nodes, TREES * MANY, TREES * NODES_MAX);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_marks_what_is_needed_and_no_more),
        WITH_STORE(test_beside_backups),
        WITH_STORE(test_unreadable_node_stops_all),
        WITH_STORE(test_cancelled_while_marking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
