/* The server's half of a backup against an agent that lies: nothing that it sends is believed, it learns
 * nothing about what others stored, and what was committed stays whole. Over real TLS on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/queue.h"
#include "proto/stream.h"
#include "server/transfer/backup_receive.h"
#include "storage/maintenance.h"
#include "tls_fixture.h"

enum { CHUNK = STORE_CHUNK_SIZE_DEFAULT, CHUNKS = 8, ENTRY = 40, WAIT_MS = 20000, NAME = 32 };

struct world {
    char root[64];
    char *directory;
    struct store *store;
    struct loop *loop;
    struct tls *server_tls;
    struct tls *host_tls;
    struct channel_listener *listener;
    struct channel_target target;
    struct queue *outcomes;
    struct backup_receive *receive;
    struct stream *stream;
    unsigned connections; /* of the next job; 0: one */
    uint32_t sequence;
};

struct outcome {
    struct point *point;
    struct error failure; /* meaningful without a point */
};

static void on_accepted(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    struct world *world = cookie;
    (void)peer;
    backup_receive_add(world->receive, stream_adopt(channel));
}

static void on_done(void *cookie, struct point *point, const struct error *failure)
{
    struct world *world = cookie;
    struct outcome *outcome = memory_zalloc(sizeof *outcome);
    outcome->point = point;
    if (failure != NULL) {
        outcome->failure = *failure;
    }
    queue_push(world->outcomes, outcome);
}

static char *in_root(const struct world *world, const char *name)
{
    return os_path_join(world->root, name);
}

static int set_up(void **state)
{
    struct error err;
    struct store_settings settings = {0};
    struct store_open_options options = {.reserved_bytes = 1};
    struct world *world = memory_zalloc(sizeof *world);
    strcpy(world->root, "/tmp/holdfast-receive-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    world->directory = in_root(world, "store");
    check(store_create(world->directory, &settings, &err), err);
    world->store = store_open(world->directory, &options, &err);
    assert_non_null(world->store);
    make_tls(world->root, &world->server_tls, &world->host_tls);
    world->loop = loop_create("test", &err);
    world->outcomes = queue_create(4);
    world->listener =
        channel_listen(world->loop, "127.0.0.1", 0, world->server_tls, 16, on_accepted, world, &err);
    assert_non_null(world->listener);
    world->target =
        (struct channel_target){.host = "127.0.0.1", .port = channel_listener_port(world->listener)};
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    struct error err;
    channel_listener_drain(world->listener);
    loop_destroy(world->loop);
    tls_destroy(world->server_tls);
    tls_destroy(world->host_tls);
    queue_destroy(world->outcomes);
    store_close(world->store);
    check(os_path_remove_tree(world->root, &err), err);
    free(world->directory);
    free(world);
    return 0;
}

/* --- a job */

static struct stream *connect_to(struct world *world)
{
    static const uint8_t session[32] = {1};
    struct error err;
    struct stream *stream =
        stream_connect(world->loop, &world->target, world->host_tls, session, sizeof session, &err);
    check(stream != NULL ? 0 : -1, err);
    return stream;
}

static void begin(struct world *world, const char *datasource, struct point *parent)
{
    struct error err;
    struct point *point = point_create();
    identity_create(point->id);
    memcpy(point->datasource, datasource, IDENTITY_SIZE);
    point->vm_name = memory_copy_text("web1");
    struct backup_receive_disk disk = {
        .name = "vda", .format = "raw", .size = (uint64_t)CHUNKS * CHUNK, .incremental = parent != NULL};
    struct backup_receive_options options = {.store = world->store,
                                             .job = "job",
                                             .point = point,
                                             .parent = parent,
                                             .disks = &disk,
                                             .disk_count = 1,
                                             .connections = world->connections != 0 ? world->connections : 1,
                                             .idle_timeout_ms = WAIT_MS,
                                             .done = on_done,
                                             .cookie = world};
    world->receive = backup_receive_create(&options, &err);
    check(world->receive != NULL ? 0 : -1, err);
    world->stream = connect_to(world);
    world->sequence = 0;
}

/* Until the server has closed the connection. */
static void read_to_the_end(struct world *world)
{
    struct error err = {0};
    while (err.code != ERROR_CONNECTION_LOST) {
        struct stream_message *message;
        if (stream_receive(world->stream, WAIT_MS, &message, &err) == 0) {
            stream_release(world->stream, message);
        }
    }
}

static struct outcome end(struct world *world)
{
    void *item;
    assert_true(queue_pop(world->outcomes, &item));
    struct outcome outcome = *(struct outcome *)item;
    free(item);
    read_to_the_end(world);
    stream_close(world->stream);
    backup_receive_destroy(world->receive);
    return outcome;
}

/* The connection goes in the middle. */
static void abandon(struct world *world)
{
    void *item;
    stream_close(world->stream);
    assert_true(queue_pop(world->outcomes, &item));
    assert_null(((struct outcome *)item)->point);
    free(item);
    backup_receive_destroy(world->receive);
}

static void expect_refused(struct world *world, const char *says)
{
    struct outcome outcome = end(world);
    assert_null(outcome.point);
    assert_int_equal(outcome.failure.code, ERROR_PROTOCOL_INVALID);
    if (strstr(outcome.failure.message, says) == NULL) {
        fail_msg("it says: %s", outcome.failure.message);
    }
}

/* --- what an agent sends */

static void make_chunk(uint8_t seed, uint8_t *out, struct chunk_name *name)
{
    memset(out, seed, CHUNK);
    chunk_name_of(out, CHUNK, name);
}

/* former: where the chunks are said to have been; NULL: nothing is said. */
static void send_moved_offer(struct world *world, uint32_t disk, uint64_t first, const uint8_t *seeds,
                             size_t count, const uint64_t *former, size_t former_count)
{
    static uint8_t chunk[CHUNK];
    struct error err;
    uint8_t payload[CHUNKS * ENTRY];
    Holdfast__BackupOffer offer = HOLDFAST__BACKUP_OFFER__INIT;
    offer.disk = disk;
    offer.sequence = world->sequence++;
    offer.former = (uint64_t *)(uintptr_t)former;
    offer.n_former = former_count;
    for (size_t i = 0; i < count; i++) {
        struct chunk_name name;
        make_chunk(seeds[i], chunk, &name);
        bytes_put_u64(payload + i * ENTRY, first + i);
        memcpy(payload + i * ENTRY + 8, name.bytes, NAME);
    }
    stream_send(world->stream, HOLDFAST__DATA_TYPE__OFFER, &offer.base, payload, count * ENTRY, &err);
}

static void send_offer(struct world *world, uint32_t disk, uint64_t first, const uint8_t *seeds, size_t count)
{
    send_moved_offer(world, disk, first, seeds, count, NULL, 0);
}

/* The bits of the answer; -1 when the server has given up. */
static int receive_want(struct world *world)
{
    struct error err;
    struct stream_message *message;
    if (stream_receive(world->stream, WAIT_MS, &message, &err) != 0) {
        return -1;
    }
    assert_int_equal(message->type, HOLDFAST__DATA_TYPE__WANT);
    int bits = message->payload[0];
    stream_release(world->stream, message);
    return bits;
}

static void send_run(struct world *world, uint64_t index, uint8_t seed, uint8_t named_as,
                     uint32_t compression, size_t payload_length)
{
    static uint8_t chunk[2 * CHUNK];
    static uint8_t other[CHUNK];
    struct error err;
    struct chunk_name name;
    Holdfast__ChunkRun run = HOLDFAST__CHUNK_RUN__INIT;
    make_chunk(named_as, other, &name);
    memset(chunk, seed, sizeof chunk);
    run.indices = &index;
    run.n_indices = 1;
    run.names = (ProtobufCBinaryData){.len = NAME, .data = name.bytes};
    run.compression = compression;
    stream_send(world->stream, HOLDFAST__DATA_TYPE__RUN, &run.base, chunk, payload_length, &err);
}

static void send_finish(struct world *world, uint32_t connections)
{
    struct error err;
    Holdfast__BackupFinish finish = HOLDFAST__BACKUP_FINISH__INIT;
    finish.connections = connections;
    stream_send(world->stream, HOLDFAST__DATA_TYPE__FINISH, &finish.base, NULL, 0, &err);
}

static void send_zeros(struct world *world, uint64_t first, uint64_t count)
{
    struct error err;
    Holdfast__ZeroRange range = HOLDFAST__ZERO_RANGE__INIT;
    range.first = first;
    range.count = count;
    stream_send(world->stream, HOLDFAST__DATA_TYPE__ZEROS, &range.base, NULL, 0, &err);
}

/* An honest backup of the chunks 0 and 1. */
static struct point *honest(struct world *world, const char *datasource, uint8_t first, uint8_t second)
{
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){first, second}, 2);
    assert_int_equal(receive_want(world), 3);
    send_run(world, 0, first, first, 0, CHUNK);
    send_run(world, 1, second, second, 0, CHUNK);
    send_zeros(world, 2, CHUNKS - 2);
    send_finish(world, 1);
    struct outcome outcome = end(world);
    check(outcome.point != NULL ? 0 : -1, outcome.failure);
    return outcome.point;
}

static void assert_whole(struct world *world, const char *point_id)
{
    struct error err;
    uint64_t missing;
    struct verify_report report;
    check(store_verify(world->store, NULL, NULL, &report, &err), err);
    assert_int_equal(report.damaged_chunks, 0);
    verify_report_clear(&report);
    assert_int_equal(store_check_point(world->store, point_id, &missing, &err), 1);
}

/* --- */

static void test_lies_about_content(void **state)
{
    struct world *world = *state;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    struct point *good = honest(world, datasource, 1, 2);
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){7}, 1);
    assert_int_equal(receive_want(world), 1);
    send_run(world, 0, 8, 7, 0, CHUNK);
    expect_refused(world, "not its own");
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){7}, 1);
    receive_want(world);
    send_run(world, 0, 7, 7, 1, 5000); /* no zstd at all */
    expect_refused(world, "can't be decompressed");
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){7}, 1);
    receive_want(world);
    send_run(world, 0, 7, 7, 0, CHUNK + 1);
    expect_refused(world, "can't be decompressed");
    assert_whole(world, good->id);
    point_destroy(good);
}

static void test_lies_about_places(void **state)
{
    struct world *world = *state;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    begin(world, datasource, NULL);
    send_offer(world, 0, CHUNKS, (const uint8_t[]){7}, 1);
    expect_refused(world, "chunks, not");
    begin(world, datasource, NULL);
    send_offer(world, 3, 0, (const uint8_t[]){7}, 1);
    expect_refused(world, "no disk 3");
    begin(world, datasource, NULL);
    send_zeros(world, 1, UINT64_MAX);
    expect_refused(world, "past the end");
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){7}, 1);
    receive_want(world);
    send_run(world, CHUNKS + 5, 7, 7, 0, CHUNK);
    expect_refused(world, "chunks, not");
}

static void test_order(void **state)
{
    struct world *world = *state;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    begin(world, datasource, NULL);
    send_run(world, 0, 7, 7, 0, CHUNK);
    expect_refused(world, "than were asked for");
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){7}, 1);
    receive_want(world);
    send_finish(world, 1);
    expect_refused(world, "did not come");
    begin(world, datasource, NULL);
    send_finish(world, 9);
    expect_refused(world, "not allowed");
    /* the same again */
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){7}, 1);
    receive_want(world);
    send_run(world, 0, 7, 7, 0, CHUNK);
    send_run(world, 0, 7, 7, 0, CHUNK);
    expect_refused(world, "than were asked for");
}

static void test_nonsense(void **state)
{
    struct world *world = *state;
    struct error err;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    begin(world, datasource, NULL);
    Holdfast__Empty empty = HOLDFAST__EMPTY__INIT;
    stream_send(world->stream, HOLDFAST__DATA_TYPE__DISK_END, &empty.base, NULL, 0, &err);
    expect_refused(world, "does not belong here");
    begin(world, datasource, NULL);
    Holdfast__BackupOffer offer = HOLDFAST__BACKUP_OFFER__INIT;
    stream_send(world->stream, HOLDFAST__DATA_TYPE__OFFER, &offer.base, "odd", 3, &err);
    expect_refused(world, "offer of 3 bytes");
}

static void test_never_ends(void **state)
{
    struct world *world = *state;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    begin(world, datasource, NULL);
    for (int i = 0; i < 10000; i++) {
        send_zeros(world, 0, 1);
    }
    expect_refused(world, "names more chunks");
}

/* One connection says that there is no other, while another is at work on the same maps. */
static void test_connections_that_are_not_told(void **state)
{
    struct world *world = *state;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    world->connections = 2;
    begin(world, datasource, NULL);
    struct stream *first = world->stream;
    send_offer(world, 0, 0, (const uint8_t[]){7}, 1);
    assert_int_equal(receive_want(world), 1);
    send_run(world, 0, 7, 7, 0, CHUNK);
    world->stream = connect_to(world);
    send_offer(world, 0, 1, (const uint8_t[]){8}, 1);
    assert_int_equal(receive_want(world), 1);
    struct stream *second = world->stream;
    world->stream = first;
    send_finish(world, 1);
    read_to_the_end(world);
    stream_close(first);
    world->stream = second;
    for (int i = 0; i < 10000; i++) {
        send_zeros(world, 0, 1);
    }
    expect_refused(world, "connections");
}

/* What another datasource stored is asked for like anything else: "have" is no way to find out. */
static void test_learns_nothing(void **state)
{
    struct world *world = *state;
    char mine[IDENTITY_SIZE];
    char others[IDENTITY_SIZE];
    identity_create(mine);
    identity_create(others);
    struct point *secret = honest(world, others, 1, 2);
    struct point *own = honest(world, mine, 3, 4);
    begin(world, mine, own);
    send_offer(world, 0, 0, (const uint8_t[]){3, 1, 2}, 3);
    assert_int_equal(receive_want(world), 6); /* its own, and nothing else */
    send_run(world, 1, 1, 1, 0, CHUNK);
    send_run(world, 2, 2, 2, 0, CHUNK);
    send_finish(world, 1);
    struct outcome outcome = end(world);
    check(outcome.point != NULL ? 0 : -1, outcome.failure);
    struct store_status status;
    struct error err;
    check(store_status_read(world->store, &status, &err), err);
    assert_int_equal(status.chunks, 4); /* stored once all the same */
    assert_whole(world, secret->id);
    assert_whole(world, outcome.point->id);
    point_destroy(outcome.point);
    point_destroy(secret);
    point_destroy(own);
}

/* What an interrupted try brought is not sent again. */
static void test_interrupted(void **state)
{
    struct world *world = *state;
    char datasource[IDENTITY_SIZE];
    identity_create(datasource);
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){5, 6}, 2);
    receive_want(world);
    send_run(world, 0, 5, 5, 0, CHUNK);
    abandon(world);
    begin(world, datasource, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){5, 6}, 2);
    assert_int_equal(receive_want(world), 2);
    send_run(world, 1, 6, 6, 0, CHUNK);
    send_finish(world, 1);
    struct outcome outcome = end(world);
    check(outcome.point != NULL ? 0 : -1, outcome.failure);
    assert_whole(world, outcome.point->id);
    point_destroy(outcome.point);
}

/* What an operator seeded a datasource with is not sent: to that datasource, at that place, until its first
 * point. */
static void test_seeded(void **state)
{
    struct world *world = *state;
    struct error err;
    char ids[3][IDENTITY_SIZE];
    char found[IDENTITY_SIZE];
    for (int i = 0; i < 3; i++) {
        identity_create(ids[i]);
    }
    const char *giver = ids[0], *mine = ids[1], *stranger = ids[2];
    struct point *given = honest(world, giver, 1, 2);
    check(partial_save_seed(world->store, mine, point_find_disk(given, "vda"), "vda", given->id, &err), err);
    assert_int_equal(partial_find_seed(world->store, mine, found, &err), 1);
    assert_string_equal(found, given->id);
    assert_int_equal(partial_find_seed(world->store, stranger, found, &err), 0);
    begin(world, stranger, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){1, 2}, 2);
    assert_int_equal(receive_want(world), 3);
    abandon(world);

    begin(world, mine, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){1, 7, 1}, 3);
    assert_int_equal(receive_want(world), 6);
    send_run(world, 1, 7, 7, 0, CHUNK);
    abandon(world);
    begin(world, mine, NULL); /* the interrupted try did not replace the seed */
    send_offer(world, 0, 0, (const uint8_t[]){1, 2}, 2);
    assert_int_equal(receive_want(world), 0);
    send_zeros(world, 2, CHUNKS - 2);
    send_finish(world, 1);
    struct outcome outcome = end(world);
    check(outcome.point != NULL ? 0 : -1, outcome.failure);
    assert_int_equal(partial_find_seed(world->store, mine, found, &err), 0);
    assert_whole(world, outcome.point->id);
    point_destroy(outcome.point);
    point_destroy(given);
}

/* A seed for a disk of another size is none. */
static void test_seed_of_other_size(void **state)
{
    struct world *world = *state;
    struct error err;
    char giver[IDENTITY_SIZE];
    char mine[IDENTITY_SIZE];
    identity_create(giver);
    identity_create(mine);
    struct point *given = honest(world, giver, 1, 2);
    struct point_disk larger = *point_find_disk(given, "vda");
    larger.size += CHUNK;
    check(partial_save_seed(world->store, mine, &larger, "vda", given->id, &err), err);
    begin(world, mine, NULL);
    send_offer(world, 0, 0, (const uint8_t[]){1, 2}, 2);
    assert_int_equal(receive_want(world), 3);
    send_finish(world, 1);
    expect_refused(world, "did not come");
    point_destroy(given);
}

/* What has moved is found where the agent says it was, in the parent alone; anything else is asked for. */
static void test_moved(void **state)
{
    struct world *world = *state;
    char mine[IDENTITY_SIZE];
    char other[IDENTITY_SIZE];
    identity_create(mine);
    identity_create(other);
    struct point *own = honest(world, mine, 1, 2);
    struct point *foreign = honest(world, other, 3, 4);
    begin(world, mine, own);
    /* 1 from 0 to 2, 2 with a wrong place, another's 3 and 4 at their places, 5 past the end */
    send_moved_offer(world, 0, 2, (const uint8_t[]){1, 2, 3, 4, 5}, 5,
                     (const uint64_t[]){0, 0, 0, 1, UINT64_MAX}, 5);
    assert_int_equal(receive_want(world), 2 + 4 + 8 + 16);
    send_run(world, 3, 2, 2, 0, CHUNK);
    send_run(world, 4, 3, 3, 0, CHUNK);
    send_run(world, 5, 4, 4, 0, CHUNK);
    send_run(world, 6, 5, 5, 0, CHUNK);
    /* the place was overwritten meanwhile: the parent still has it */
    send_offer(world, 0, 0, (const uint8_t[]){9}, 1);
    assert_int_equal(receive_want(world), 1);
    send_run(world, 0, 9, 9, 0, CHUNK);
    send_moved_offer(world, 0, 7, (const uint8_t[]){1}, 1, (const uint64_t[]){0}, 1);
    assert_int_equal(receive_want(world), 0);
    send_finish(world, 1);
    struct outcome outcome = end(world);
    check(outcome.point != NULL ? 0 : -1, outcome.failure);
    assert_whole(world, outcome.point->id);
    point_destroy(outcome.point);
    begin(world, mine, own);
    send_moved_offer(world, 0, 0, (const uint8_t[]){1, 2}, 2, (const uint64_t[]){0}, 1);
    expect_refused(world, "former places");
    point_destroy(own);
    point_destroy(foreign);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(test_lies_about_content),
        WITH_WORLD(test_lies_about_places),
        WITH_WORLD(test_order),
        WITH_WORLD(test_nonsense),
        WITH_WORLD(test_never_ends),
        WITH_WORLD(test_connections_that_are_not_told),
        WITH_WORLD(test_learns_nothing),
        WITH_WORLD(test_interrupted),
        WITH_WORLD(test_seeded),
        WITH_WORLD(test_seed_of_other_size),
        WITH_WORLD(test_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
