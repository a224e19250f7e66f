/* A store and the server's half of transfers behind real TLS on loopback; the agent's half is the test's. */
#ifndef HOLDFAST_TESTS_TRANSFER_FIXTURE_H
#define HOLDFAST_TESTS_TRANSFER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/queue.h"
#include "proto/pki.h"
#include "proto/stream.h"
#include "server/backup_receive.h"
#include "server/restore_send.h"

enum { WORLD_CHUNK = STORE_CHUNK_SIZE_DEFAULT, WORLD_TIMEOUT_MS = 20000 };

struct world {
    char root[64];
    char *store_directory;
    struct store *store;
    struct loop *server_loop;
    struct loop *agent_loop;
    struct tls *server_tls;
    struct tls *agent_tls;
    struct channel_listener *listener;
    struct channel_target target;
    char datasource[IDENTITY_SIZE];
    struct backup_receive *receive; /* data connections go there, or to send */
    struct restore_send *send;
    struct queue *outcomes; /* of backups and restores: struct outcome, malloc'd */
    pthread_t senders[4];
    unsigned sender_count;
};

struct outcome {
    struct point *point; /* NULL: failed, or a restore */
    bool failed;
    struct error err;
};

#define check(call, err)                                                                                     \
    do {                                                                                                     \
        char text_[3 * ERROR_TEXT_MAX];                                                                      \
        if ((call) != 0) {                                                                                   \
            fail_msg("%s", error_format(&(err), text_, sizeof text_));                                       \
        }                                                                                                    \
    } while (0)

static inline char *world_path(const struct world *world, const char *name)
{
    return os_path_join(world->root, name);
}

struct world_sender {
    struct world *world;
    struct stream *stream;
};

static inline void *world_send_thread(void *cookie)
{
    struct world_sender *sender = cookie;
    struct outcome *outcome = memory_zalloc(sizeof *outcome);
    outcome->failed = restore_send_serve(sender->world->send, sender->stream, &outcome->err) != 0;
    queue_push(sender->world->outcomes, outcome);
    free(sender);
    return NULL;
}

static inline void world_accepted(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    (void)peer;
    struct world *world = cookie;
    if (world->receive != NULL) {
        backup_receive_add(world->receive, stream_adopt(channel));
    } else if (world->send != NULL && world->sender_count < 4) {
        struct world_sender *sender = memory_alloc(sizeof *sender);
        *sender = (struct world_sender){.world = world, .stream = stream_adopt(channel)};
        pthread_create(&world->senders[world->sender_count++], NULL, world_send_thread, sender);
    }
}

static inline void world_done(void *cookie, struct point *point, const struct error *failure)
{
    struct world *world = cookie;
    struct outcome *outcome = memory_zalloc(sizeof *outcome);
    outcome->point = point;
    outcome->failed = failure != NULL;
    if (failure != NULL) {
        outcome->err = *failure;
    }
    queue_push(world->outcomes, outcome);
}

static inline void world_make_keys(struct world *world)
{
    struct error err;
    static const char *const names[] = {"127.0.0.1", NULL};
    uint8_t *csr;
    uint8_t *certificate;
    size_t csr_length;
    size_t length;
    char serial[41];
    char *ca = world_path(world, "ca.pem");
    char *server_pem = world_path(world, "server.pem");
    char *server_key = world_path(world, "server.key");
    char *agent_pem = world_path(world, "agent.pem");
    char *agent_key = world_path(world, "agent.key");
    check(pki_create_authority(world->root, names, &err), err);
    check(pki_create_request(agent_key, &csr, &csr_length, &err), err);
    check(pki_sign_request(world->root, csr, csr_length, "host-1", 30, &certificate, &length, serial, &err),
          err);
    check(pki_write_certificate(agent_pem, certificate, length, &err), err);
    world->server_tls = tls_create_server(server_pem, server_key, ca, &err);
    assert_non_null(world->server_tls);
    world->agent_tls = tls_create_client(agent_pem, agent_key, ca, &err);
    assert_non_null(world->agent_tls);
    free(csr);
    free(certificate);
    free(ca);
    free(server_pem);
    free(server_key);
    free(agent_pem);
    free(agent_key);
}

static inline void world_open_store(struct world *world)
{
    struct error err;
    struct store_open_options options = {.reserved_bytes = 1};
    world->store = store_open(world->store_directory, &options, &err);
    if (world->store == NULL) {
        check(-1, err);
    }
}

/* Directory, keys and an empty store; no threads yet. */
static inline struct world *world_create(void)
{
    struct error err;
    struct world *world = memory_zalloc(sizeof *world);
    struct store_settings settings = {.chunk_size = WORLD_CHUNK};
    snprintf(world->root, sizeof world->root, "/tmp/holdfast-transfer-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    world->store_directory = world_path(world, "store");
    check(store_create(world->store_directory, &settings, &err), err);
    world_make_keys(world);
    identity_create(world->datasource);
    return world;
}

static inline void world_open_server(struct world *world)
{
    struct error err;
    world_open_store(world);
    world->outcomes = queue_create(8);
    world->server_loop = loop_create("server", &err);
    world->listener = channel_listen(world->server_loop, "127.0.0.1", 0, world->server_tls, 16,
                                     world_accepted, world, &err);
    assert_non_null(world->listener);
}

static inline void world_open_agent(struct world *world, uint16_t port)
{
    struct error err;
    world->agent_loop = loop_create("agent", &err);
    world->target = (struct channel_target){.host = "127.0.0.1", .port = port};
}

static inline int world_set_up(void **state)
{
    struct world *world = world_create();
    world_open_server(world);
    world_open_agent(world, channel_listener_port(world->listener));
    *state = world;
    return 0;
}

static inline int world_tear_down(void **state)
{
    struct error err;
    struct world *world = *state;
    channel_listener_drain(world->listener);
    for (unsigned i = 0; i < world->sender_count; i++) {
        pthread_join(world->senders[i], NULL);
    }
    backup_receive_destroy(world->receive);
    restore_send_destroy(world->send);
    channel_listener_close(world->listener);
    loop_destroy(world->agent_loop);
    loop_destroy(world->server_loop);
    tls_destroy(world->agent_tls);
    tls_destroy(world->server_tls);
    void *outcome;
    while (queue_try_pop(world->outcomes, &outcome)) {
        point_destroy(((struct outcome *)outcome)->point);
        free(outcome);
    }
    queue_destroy(world->outcomes);
    store_close(world->store);
    check(os_path_remove_tree(world->root, &err), err);
    free(world->store_directory);
    free(world);
    return 0;
}

static inline struct point *world_new_point(const struct world *world)
{
    struct point *point = point_create();
    identity_create(point->id);
    memcpy(point->datasource, world->datasource, sizeof point->datasource);
    point->vm_name = memory_copy_text("vm1");
    point->host_id = memory_copy_text("host-1");
    point->host_name = memory_copy_text("alpha");
    point->kind = memory_copy_text("image");
    point->mode = memory_copy_text("full");
    point->consistency = memory_copy_text("crash");
    return point;
}

/* The server expects a backup of these disks. */
static inline void world_expect_backup(struct world *world, struct point *parent,
                                       const struct backup_receive_disk *disks, size_t count,
                                       unsigned connections)
{
    struct error err;
    struct backup_receive_options options = {.store = world->store,
                                             .job = "job-1",
                                             .point = world_new_point(world),
                                             .parent = parent,
                                             .disks = disks,
                                             .disk_count = count,
                                             .connections = connections,
                                             .idle_timeout_ms = WORLD_TIMEOUT_MS,
                                             .done = world_done,
                                             .cookie = world};
    if (parent != NULL) {
        memcpy(options.point->parent, parent->id, sizeof options.point->parent);
    }
    world->receive = backup_receive_create(&options, &err);
    if (world->receive == NULL) {
        check(-1, err);
    }
}

static inline void world_expect_restore(struct world *world, const struct point *point, const size_t *disks,
                                        size_t count)
{
    struct error err;
    struct restore_send_options options = {.store = world->store,
                                           .job = "job-2",
                                           .point = point,
                                           .disks = disks,
                                           .disk_count = count,
                                           .idle_timeout_ms = WORLD_TIMEOUT_MS};
    world->send = restore_send_create(&options, &err);
    if (world->send == NULL) {
        check(-1, err);
    }
}

/* How the server's half ended; it is gone afterwards. */
static inline struct outcome world_outcome(struct world *world)
{
    void *popped = NULL;
    assert_true(queue_pop_timed(world->outcomes, &popped, WORLD_TIMEOUT_MS));
    struct outcome outcome = *(struct outcome *)popped;
    free(popped);
    backup_receive_destroy(world->receive);
    world->receive = NULL;
    for (unsigned i = 0; i < world->sender_count; i++) {
        pthread_join(world->senders[i], NULL);
    }
    world->sender_count = 0;
    restore_send_destroy(world->send);
    world->send = NULL;
    return outcome;
}

static inline struct stream *world_dial(struct world *world)
{
    struct error err;
    static const uint8_t session[32];
    struct stream *stream = stream_connect(world->agent_loop, &world->target, world->agent_tls, session,
                                           sizeof session, &err);
    if (stream == NULL) {
        check(-1, err);
    }
    return stream;
}

/* A chunk that is a function of its seed; seed 0 gives zeros. Even seeds compress, odd ones do not. */
static inline void make_chunk(uint32_t seed, uint8_t *out)
{
    uint64_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < WORLD_CHUNK; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint8_t byte = (uint8_t)(state >> 56);
        out[i] = seed == 0 ? 0 : seed % 2 == 0 ? byte & 3 : byte;
    }
}

/* Every chunk of a disk of a point, against the seeds that its chunks were made of. */
static inline void world_check_disk(struct world *world, const struct point *point, size_t disk,
                                    const uint32_t *seeds, size_t count)
{
    struct error err;
    static uint8_t expected[WORLD_CHUNK];
    static uint8_t found[WORLD_CHUNK];
    struct chunk_name name;
    struct map_reader *reader =
        map_reader_open(world->store, &point->disks[disk].root, point->disks[disk].size, &err);
    assert_non_null(reader);
    for (size_t i = 0; i < count; i++) {
        make_chunk(seeds[i], expected);
        check(map_reader_get(reader, i, &name, &err), err);
        check(chunk_read(world->store, &name, found, &err), err);
        if (memcmp(found, expected, sizeof found) != 0) {
            fail_msg("chunk %zu differs", i);
        }
    }
    map_reader_destroy(reader);
}

#endif
