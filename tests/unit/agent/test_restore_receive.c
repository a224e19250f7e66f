/* The agent's half of a restore of several disks, over real TLS on loopback, against a server that sends what
 * the test wants and disks that wait for each other: what should go on at once can't end otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/restore_receive.h"
#include "base/compress.h"
#include "base/digest.h"
#include "base/memory.h"
#include "disk/disk_writer_internal.h"
#include "tls_fixture.h"

enum { CHUNK = 65536, DISKS = 7, CHUNKS = 3, WAIT_S = 30, WAIT_MS = WAIT_S * 1000 };

/* What the server sends for a disk. */
enum answer { ANSWER_WHOLE, ANSWER_NOTHING, ANSWER_DAMAGED, ANSWER_SHORT, ANSWER_OTHER_DISK };

struct test_disk {
    struct disk_writer writer; /* first: what the agent holds */
    struct world *world;
    enum answer answer;
    enum error_code write_fails; /* ERROR_NONE: it doesn't */
    enum error_code flush_fails;
    unsigned held;  /* until so many others are flushed */
    unsigned reads; /* the world's lock guards these */
    unsigned flushes;
    bool written_after_flush;
    uint8_t bytes[CHUNKS * CHUNK];
};

struct provider_restore {
    struct test_disk disks[DISKS];
};

struct world {
    char root[64];
    struct loop *loop;
    struct tls *server_tls;
    struct tls *host_tls;
    struct channel_listener *listener;
    struct channel_target target;
    struct provider_restore restore;
    unsigned files; /* that were open when it listened */
    unsigned disk_count;
    atomic_bool cancelled;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    unsigned connections; /* that the agent made */
    unsigned restored;    /* of them, that ended well */
    pthread_t servers[2 * RESTORE_CONNECTIONS_MAX];
    unsigned reads;
    unsigned cancel_at; /* so many reads; 0: never */
    unsigned writing;   /* disks whose first write has begun */
    unsigned flushing;
    /* A write goes on when so many disks are written, a flush when so many are flushed or read. */
    unsigned write_gate;
    unsigned flush_gate;
    unsigned read_gate;
    bool stuck; /* a gate did not open */
};

/* --- disks */

/* With the lock held: until *count is at least `wanted`. */
static void pass_gate(struct world *world, const unsigned *count, unsigned wanted)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    while (*count < wanted && !world->stuck) {
        if (pthread_cond_timedwait(&world->changed, &world->lock, &until) != 0) {
            world->stuck = true;
            pthread_cond_broadcast(&world->changed);
        }
    }
}

static int disk_write(struct disk_writer *writer, uint64_t offset, const void *bytes, size_t length,
                      struct error *err)
{
    struct test_disk *disk = (struct test_disk *)writer;
    struct world *world = disk->world;
    memcpy(disk->bytes + offset, bytes, length);
    pthread_mutex_lock(&world->lock);
    world->writing += offset == 0;
    disk->written_after_flush = disk->flushes > 0;
    pthread_cond_broadcast(&world->changed);
    pass_gate(world, &world->writing, world->write_gate);
    pass_gate(world, &world->flushing, disk->held);
    pthread_mutex_unlock(&world->lock);
    return disk->write_fails == ERROR_NONE ? 0
                                           : error_set(err, disk->write_fails, "%s is full", writer->path);
}

static int disk_flush(struct disk_writer *writer, struct error *err)
{
    struct test_disk *disk = (struct test_disk *)writer;
    struct world *world = disk->world;
    pthread_mutex_lock(&world->lock);
    disk->flushes++;
    world->flushing++;
    pthread_cond_broadcast(&world->changed);
    pass_gate(world, &world->flushing, world->flush_gate);
    pass_gate(world, &world->reads, world->read_gate);
    pthread_mutex_unlock(&world->lock);
    return disk->flush_fails == ERROR_NONE ? 0 : error_set(err, disk->flush_fails, "%s breaks", writer->path);
}

static const struct disk_writer_operations disk_operations = {.write = disk_write, .flush = disk_flush};

static struct disk_writer *restore_disk(struct provider_restore *restore, size_t disk)
{
    return &restore->disks[disk].writer;
}

static const struct provider provider = {.restore_disk = restore_disk};

/* --- the server */

static void fill_chunk(uint32_t disk, uint64_t index, uint8_t *out)
{
    memset(out, (int)(disk * CHUNKS + index + 1), CHUNK);
}

static int send_chunk(struct stream *stream, uint32_t disk, uint64_t index, enum answer answer)
{
    struct error err;
    uint8_t plain[CHUNK];
    uint8_t name[DIGEST_SIZE];
    uint32_t position = 0;
    fill_chunk(disk, index, plain);
    digest_sha256(plain, CHUNK, name);
    plain[CHUNK / 2] ^= answer == ANSWER_DAMAGED && index == 1;
    Holdfast__ChunkRun run = HOLDFAST__CHUNK_RUN__INIT;
    run.disk = disk + (answer == ANSWER_OTHER_DISK);
    run.n_indices = 1;
    run.indices = &index;
    run.n_positions = 1;
    run.positions = &position;
    run.names = (ProtobufCBinaryData){.len = sizeof name, .data = name};
    run.compression = COMPRESSION_PLAIN;
    return stream_send(stream, HOLDFAST__DATA_TYPE__RUN, &run.base, plain, sizeof plain, &err);
}

static void answer_read(struct world *world, struct stream *stream, uint32_t disk)
{
    struct error err;
    struct test_disk *target = &world->restore.disks[disk];
    pthread_mutex_lock(&world->lock);
    target->reads++;
    world->reads++;
    if (world->reads == world->cancel_at) {
        atomic_store(&world->cancelled, true);
    }
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
    if (target->answer == ANSWER_NOTHING) {
        return;
    }
    uint64_t count = target->answer == ANSWER_SHORT ? CHUNKS - 1 : CHUNKS;
    for (uint64_t i = 0; i < count && send_chunk(stream, disk, i, target->answer) == 0; i++) {
    }
    Holdfast__DiskEnd end = HOLDFAST__DISK_END__INIT;
    end.disk = disk;
    end.chunks = CHUNKS;
    (void)stream_send(stream, HOLDFAST__DATA_TYPE__DISK_END, &end.base, NULL, 0, &err);
}

struct server {
    struct world *world;
    struct stream *stream;
};

static void *serve(void *cookie)
{
    struct server *server = cookie;
    struct stream_message *message;
    struct error err;
    bool restored = false;
    while (!restored && stream_receive(server->stream, WAIT_MS, &message, &err) == 0) {
        Holdfast__RestoreRead *read =
            message->type == HOLDFAST__DATA_TYPE__READ
                ? holdfast__restore_read__unpack(NULL, message->message_length, message->message)
                : NULL;
        restored = message->type == HOLDFAST__DATA_TYPE__RESTORED;
        if (read != NULL && read->disk < server->world->disk_count) {
            answer_read(server->world, server->stream, read->disk);
        }
        if (read != NULL) {
            holdfast__restore_read__free_unpacked(read, NULL);
        }
        stream_release(server->stream, message);
    }
    stream_close(server->stream);
    pthread_mutex_lock(&server->world->lock);
    server->world->restored += restored;
    pthread_mutex_unlock(&server->world->lock);
    free(server);
    return NULL;
}

static void on_accepted(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    struct world *world = cookie;
    struct server *server = memory_zalloc(sizeof *server);
    (void)peer;
    *server = (struct server){.world = world, .stream = stream_adopt(channel)};
    pthread_mutex_lock(&world->lock);
    if (pthread_create(&world->servers[world->connections], NULL, serve, server) == 0) {
        world->connections++;
    }
    pthread_cond_broadcast(&world->changed);
    pthread_mutex_unlock(&world->lock);
}

/* --- a restore */

static int count_file(void *cookie, const char *name)
{
    (void)name;
    ++*(unsigned *)cookie;
    return 0;
}

static unsigned open_files(void)
{
    struct error err;
    unsigned count = 0;
    check(os_path_list("/proc/self/fd", count_file, &count, &err) < 0 ? -1 : 0, err);
    return count;
}

static int set_up(void **state)
{
    struct error err;
    struct world *world = memory_zalloc(sizeof *world);
    strcpy(world->root, "/tmp/holdfast-restore-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    make_tls(world->root, &world->server_tls, &world->host_tls);
    world->loop = loop_create("test", &err);
    world->listener =
        channel_listen(world->loop, "127.0.0.1", 0, world->server_tls, 16, on_accepted, world, &err);
    assert_non_null(world->listener);
    world->target =
        (struct channel_target){.host = "127.0.0.1", .port = channel_listener_port(world->listener)};
    pthread_mutex_init(&world->lock, NULL);
    pthread_cond_init(&world->changed, NULL);
    for (unsigned i = 0; i < DISKS; i++) {
        struct test_disk *disk = &world->restore.disks[i];
        disk->world = world;
        disk->writer = (struct disk_writer){
            .operations = &disk_operations, .path = (char *)"/the/disk", .size = sizeof disk->bytes};
    }
    world->files = open_files();
    *state = world;
    return 0;
}

/* The agent's connections linger until the server's side has closed. Without the listener there is one file
 * less. */
static void wait_for_connections(const struct world *world)
{
    struct timespec moment = {.tv_nsec = 2000000};
    for (unsigned i = 0; i < WAIT_MS / 2 && open_files() >= world->files; i++) {
        nanosleep(&moment, NULL);
    }
}

static int tear_down(void **state)
{
    struct world *world = *state;
    struct error err;
    channel_listener_drain(world->listener);
    wait_for_connections(world);
    loop_destroy(world->loop);
    tls_destroy(world->server_tls);
    tls_destroy(world->host_tls);
    check(os_path_remove_tree(world->root, &err), err);
    pthread_mutex_destroy(&world->lock);
    pthread_cond_destroy(&world->changed);
    free(world);
    return 0;
}

static int run(struct world *world, unsigned disk_count, unsigned connections, struct error *err)
{
    static uint8_t session[32] = {1};
    Holdfast__RestoreDisk disks[DISKS];
    Holdfast__RestoreDisk *pointers[DISKS];
    Holdfast__RestoreRequest request = HOLDFAST__RESTORE_REQUEST__INIT;
    for (unsigned i = 0; i < disk_count; i++) {
        holdfast__restore_disk__init(&disks[i]);
        disks[i].name = (char *)"vda";
        disks[i].size = CHUNKS * CHUNK;
        pointers[i] = &disks[i];
    }
    request.session = (ProtobufCBinaryData){.len = sizeof session, .data = session};
    request.disks = pointers;
    request.n_disks = disk_count;
    request.chunk_size = CHUNK;
    request.connections = connections;
    world->disk_count = disk_count;
    struct restore_receive_options options = {.loop = world->loop,
                                              .target = &world->target,
                                              .tls = world->host_tls,
                                              .request = &request,
                                              .provider = &provider,
                                              .restore = &world->restore,
                                              .connections = restore_receive_connections(&request),
                                              .cancelled = &world->cancelled};
    uint64_t written = 0;
    int result = restore_receive(&options, &written, err);
    pthread_mutex_lock(&world->lock);
    pass_gate(world, &world->connections, options.connections);
    pthread_mutex_unlock(&world->lock);
    for (unsigned i = 0; i < world->connections; i++) {
        pthread_join(world->servers[i], NULL);
    }
    assert_false(world->stuck);
    if (result == 0) {
        assert_int_equal(written, (uint64_t)disk_count * CHUNKS * CHUNK);
    }
    return result;
}

static void check_disks(struct world *world)
{
    uint8_t expected[CHUNK];
    for (unsigned i = 0; i < world->disk_count; i++) {
        struct test_disk *disk = &world->restore.disks[i];
        assert_int_equal(disk->reads, 1);
        assert_int_equal(disk->flushes, 1);
        assert_false(disk->written_after_flush);
        for (unsigned chunk = 0; chunk < CHUNKS; chunk++) {
            fill_chunk(i, chunk, expected);
            assert_memory_equal(disk->bytes + chunk * CHUNK, expected, CHUNK);
        }
    }
}

static void expect_whole(struct world *world, unsigned disks, unsigned connections)
{
    struct error err;
    check(run(world, disks, connections, &err), err);
    check_disks(world);
}

static void expect_failure(struct world *world, unsigned disks, enum error_code code)
{
    struct error err;
    assert_int_equal(run(world, disks, RESTORE_CONNECTIONS_MAX, &err), -1);
    if (err.code != code) {
        fail_msg("it says: %s", err.message);
    }
}

/* --- tests */

static void disks_are_written_at_once(void **state)
{
    struct world *world = *state;
    world->write_gate = 3; /* no write goes on before all three disks are written to */
    expect_whole(world, 3, 3);
    assert_int_equal(world->connections, 3);
    assert_int_equal(world->restored, 3);
}

static void a_slow_disk_holds_up_no_other(void **state)
{
    struct world *world = *state;
    world->restore.disks[0].held = DISKS - 1;
    expect_whole(world, DISKS, 2);
    assert_int_equal(world->connections, 2);
}

static void disks_are_flushed_at_once(void **state)
{
    struct world *world = *state;
    world->write_gate = 3; /* each connection has one of them, and takes no other before it flushes */
    world->flush_gate = 3;
    expect_whole(world, 3, 4);
    assert_int_equal(world->connections, 3);
}

static void the_next_disk_comes_while_one_is_flushed(void **state)
{
    struct world *world = *state;
    world->read_gate = 2; /* of two, over one connection */
    expect_whole(world, 2, 1);
    assert_int_equal(world->connections, 1);
}

static void connections_are_bounded(void **state)
{
    struct world *world = *state;
    expect_whole(world, DISKS, 200);
    assert_int_equal(world->connections, RESTORE_CONNECTIONS_MAX);
    assert_int_equal(world->restored, RESTORE_CONNECTIONS_MAX);
}

static void an_error_ends_all(void **state)
{
    struct world *world = *state;
    world->restore.disks[0].answer = ANSWER_NOTHING;
    world->restore.disks[1].write_fails = ERROR_RESTORE_NO_SPACE;
    world->restore.disks[2].answer = ANSWER_NOTHING;
    expect_failure(world, 3, ERROR_RESTORE_NO_SPACE);
    assert_int_equal(world->restored, 0);
    assert_int_equal(world->restore.disks[1].flushes, 0);
}

static void a_flush_that_fails_is_told(void **state)
{
    struct world *world = *state;
    world->restore.disks[2].flush_fails = ERROR_RESTORE_FAILED;
    expect_failure(world, 4, ERROR_RESTORE_FAILED);
}

static void a_damaged_chunk_is_not_written(void **state)
{
    struct world *world = *state;
    static const uint8_t nothing[CHUNK];
    world->restore.disks[3].answer = ANSWER_DAMAGED;
    expect_failure(world, 4, ERROR_CHUNK_DAMAGED);
    assert_memory_equal(world->restore.disks[3].bytes + CHUNK, nothing, CHUNK);
    assert_int_equal(world->restore.disks[3].flushes, 0);
}

static void a_disk_must_arrive_whole(void **state)
{
    struct world *world = *state;
    world->restore.disks[1].answer = ANSWER_SHORT;
    expect_failure(world, 2, ERROR_PROTOCOL_INVALID);
}

static void a_connection_has_one_disk_at_a_time(void **state)
{
    struct world *world = *state;
    world->restore.disks[1].answer = ANSWER_OTHER_DISK;
    expect_failure(world, 3, ERROR_PROTOCOL_INVALID);
}

static void a_cancel_is_seen_by_all(void **state)
{
    struct world *world = *state;
    for (unsigned i = 0; i < 3; i++) {
        world->restore.disks[i].answer = ANSWER_NOTHING;
    }
    world->cancel_at = 3;
    expect_failure(world, 3, ERROR_JOB_CANCELLED);
    assert_int_equal(world->restored, 0);
}

static void memory_bounds_the_connections(void **state)
{
    (void)state;
    static const struct {
        uint32_t chunk_size;
        uint32_t allowed;
        size_t disks;
        unsigned wanted;
    } cases[] = {
        {65536, 4, 6, 3},   {65536, 4, 2, 2},  {65536, 1, 6, 1},   {65536, 0, 6, 1},
        {65536, 200, 6, 3}, {262144, 4, 6, 2}, {1048576, 4, 6, 1}, {4194304, 4, 6, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Holdfast__RestoreRequest request = HOLDFAST__RESTORE_REQUEST__INIT;
        request.chunk_size = cases[i].chunk_size;
        request.connections = cases[i].allowed;
        request.n_disks = cases[i].disks;
        assert_int_equal(restore_receive_connections(&request), cases[i].wanted);
    }
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(disks_are_written_at_once),  test(a_slow_disk_holds_up_no_other),
        test(disks_are_flushed_at_once),  test(the_next_disk_comes_while_one_is_flushed),
        test(connections_are_bounded),    test(an_error_ends_all),
        test(a_flush_that_fails_is_told), test(a_damaged_chunk_is_not_written),
        test(a_disk_must_arrive_whole),   test(a_connection_has_one_disk_at_a_time),
        test(a_cancel_is_seen_by_all),    cmocka_unit_test(memory_bounds_the_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
