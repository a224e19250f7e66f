/* The wire over real TLS on loopback: enrolment's certificates, calls both ways, streams, proxies, and bad
 * peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/queue.h"
#include "proto/agent.pb-c.h"
#include "proto/pki.h"
#include "proto/rpc.h"
#include "proto/server.pb-c.h"
#include "proto/stream.h"

/* A server that takes what comes: control connections get an rpc, data connections become streams. */
struct world {
    char directory[64];
    char *ca, *server_pem, *server_key, *host_pem, *host_key;
    struct loop *loop;
    struct tls *server_tls;
    struct tls *host_tls;
    struct channel_listener *listener;
    struct channel_target target;
    struct queue *streams;
    struct queue *rpcs;   /* the server's sides */
    struct queue *closed; /* errors of the server's sides, malloc'd */
};

static struct world w;

static void serve_register(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    (void)cookie;
    const Holdfast__RegisterRequest *in = (const void *)message;
    Holdfast__RegisterReply reply = HOLDFAST__REGISTER_REPLY__INIT;
    reply.server = in->host_name;
    rpc_reply(request, &reply.base);
}

static void serve_failure(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    (void)cookie;
    (void)message;
    struct error err;
    error_set(&err, ERROR_STORE_FULL, "Store s has no room");
    error_set_cause(&err, "disk");
    rpc_fail(request, &err);
}

/* Never answers by itself; kept for the test to look at. */
static struct rpc_request *parked;

static void serve_nothing(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    (void)cookie;
    (void)message;
    parked = request;
}

static const rpc_serve server_methods[] = {NULL, serve_register, serve_failure, serve_nothing, NULL};

static void on_server_closed(void *cookie, struct rpc *rpc, const struct error *why)
{
    (void)cookie;
    (void)rpc;
    queue_push(w.closed, memory_copy(why, sizeof *why));
}

static void on_accepted(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    (void)cookie;
    if (peer->role == HOLDFAST__CONNECTION_ROLE__DATA) {
        queue_push(w.streams, stream_adopt(channel));
        return;
    }
    struct rpc_options options = {.serves = RPC_SERVICE_SERVER,
                                  .methods = server_methods,
                                  .max_incoming = 4,
                                  .closed = on_server_closed};
    queue_push(w.rpcs, rpc_create(channel, &options));
}

static char *in_directory(const char *name)
{
    return os_path_join(w.directory, name);
}

static void issue_host(const char *authority, const char *host_id, int64_t days, const char *pem,
                       const char *key)
{
    struct error err;
    uint8_t *csr;
    uint8_t *certificate;
    size_t csr_length;
    size_t length;
    char serial[41];
    assert_int_equal(pki_create_request(key, &csr, &csr_length, &err), 0);
    assert_int_equal(
        pki_sign_request(authority, csr, csr_length, host_id, days, &certificate, &length, serial, &err), 0);
    assert_int_equal(pki_write_certificate(pem, certificate, length, &err), 0);
    free(csr);
    free(certificate);
}

static int set_up(void **state)
{
    (void)state;
    struct error err;
    snprintf(w.directory, sizeof w.directory, "/tmp/holdfast-proto-XXXXXX");
    assert_non_null(mkdtemp(w.directory));
    const char *const names[] = {"127.0.0.1", "localhost", NULL};
    assert_int_equal(pki_create_authority(w.directory, names, &err), 0);
    w.ca = in_directory("ca.pem");
    w.server_pem = in_directory("server.pem");
    w.server_key = in_directory("server.key");
    w.host_pem = in_directory("host.pem");
    w.host_key = in_directory("host.key");
    issue_host(w.directory, "host-1", 30, w.host_pem, w.host_key);
    w.server_tls = tls_create_server(w.server_pem, w.server_key, w.ca, &err);
    assert_non_null(w.server_tls);
    w.host_tls = tls_create_client(w.host_pem, w.host_key, w.ca, &err);
    assert_non_null(w.host_tls);
    w.loop = loop_create("test", &err);
    assert_non_null(w.loop);
    w.streams = queue_create(8);
    w.rpcs = queue_create(8);
    w.closed = queue_create(8);
    w.listener = channel_listen(w.loop, "127.0.0.1", 0, w.server_tls, 16, on_accepted, NULL, &err);
    assert_non_null(w.listener);
    w.target = (struct channel_target){.host = "127.0.0.1", .port = channel_listener_port(w.listener)};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct error err;
    channel_listener_close(w.listener);
    loop_destroy(w.loop);
    tls_destroy(w.host_tls);
    tls_destroy(w.server_tls);
    queue_destroy(w.streams);
    queue_destroy(w.rpcs);
    queue_destroy(w.closed);
    assert_int_equal(os_path_remove_tree(w.directory, &err), 0);
    free(w.ca);
    free(w.server_pem);
    free(w.server_key);
    free(w.host_pem);
    free(w.host_key);
    return 0;
}

/* A dialled connection, its outcome in a queue: an rpc, or an error. */
struct dial {
    struct queue *opened;
    struct queue *closed;
    struct channel *channel;
    const rpc_serve *methods;
};

static void dial_rpc_closed(void *cookie, struct rpc *rpc, const struct error *why)
{
    (void)rpc;
    struct dial *dial = cookie;
    queue_push(dial->closed, memory_copy(why, sizeof *why));
}

static void dial_opened(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    (void)peer;
    struct dial *dial = cookie;
    struct rpc_options options = {
        .serves = RPC_SERVICE_AGENT, .methods = dial->methods, .cookie = dial, .closed = dial_rpc_closed};
    queue_push(dial->opened, rpc_create(channel, &options));
}

static void dial_closed(void *cookie, struct channel *channel, const struct error *why)
{
    (void)channel;
    struct dial *dial = cookie;
    queue_push(dial->closed, memory_copy(why, sizeof *why));
}

static void dial_start(struct dial *dial, const struct channel_target *target, struct tls *tls,
                       const rpc_serve *methods)
{
    static const struct channel_handlers handlers = {.opened = dial_opened, .closed = dial_closed};
    Holdfast__Hello hello = HOLDFAST__HELLO__INIT;
    hello.role = HOLDFAST__CONNECTION_ROLE__CONTROL;
    dial->opened = queue_create(1);
    dial->closed = queue_create(1);
    dial->methods = methods;
    dial->channel = channel_connect(w.loop, target, tls, &hello, &handlers, dial);
}

static void *pop(struct queue *queue)
{
    void *item;
    assert_true(queue_pop_timed(queue, &item, 20000));
    return item;
}

static void dial_end(struct dial *dial)
{
    channel_unref(dial->channel);
    queue_destroy(dial->opened);
    queue_destroy(dial->closed);
}

static void expect_refused(const struct channel_target *target, struct tls *tls, enum error_code code)
{
    struct dial dial;
    dial_start(&dial, target, tls, NULL);
    struct error *why = pop(dial.closed);
    if (why->code != code) {
        print_error("%s: %s (%s)\n", error_code_name(why->code), why->message, why->cause);
    }
    assert_int_equal(why->code, code);
    free(why);
    void *item;
    if (queue_try_pop(dial.opened, &item)) {
        rpc_unref(item);
        struct rpc *other = pop(w.rpcs);
        rpc_unref(other);
    }
    dial_end(&dial);
}

static void close_pair(struct dial *dial, struct rpc *mine, struct rpc *other)
{
    rpc_close(mine, NULL);
    free(pop(dial->closed));
    free(pop(w.closed));
    rpc_unref(mine);
    rpc_unref(other);
    dial_end(dial);
}

static void serve_discover(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    (void)cookie;
    (void)message;
    Holdfast__DiscoverReply reply = HOLDFAST__DISCOVER_REPLY__INIT;
    rpc_reply(request, &reply.base);
}

static const rpc_serve agent_methods[] = {serve_discover, NULL, NULL, NULL, NULL, NULL};

static void test_calls_both_ways(void **state)
{
    (void)state;
    struct error err;
    struct dial dial;
    ProtobufCMessage *reply;
    dial_start(&dial, &w.target, w.host_tls, agent_methods);
    struct rpc *agent = pop(dial.opened);
    struct rpc *server = pop(w.rpcs);
    assert_string_equal(channel_peer_host(rpc_channel(server)), "host-1");
    assert_int_equal(strlen(channel_peer_serial(rpc_channel(server))), 32);

    Holdfast__RegisterRequest request = HOLDFAST__REGISTER_REQUEST__INIT;
    request.host_name = (char[]){"kvm1"};
    assert_int_equal(rpc_call_wait(agent, RPC_SERVICE_SERVER, 1, &request.base, 0, &reply, &err), 0);
    assert_string_equal(((Holdfast__RegisterReply *)(void *)reply)->server, "kvm1");
    protobuf_c_message_free_unpacked(reply, NULL);

    Holdfast__DiscoverRequest discover = HOLDFAST__DISCOVER_REQUEST__INIT;
    assert_int_equal(rpc_call_wait(server, RPC_SERVICE_AGENT, 0, &discover.base, 0, &reply, &err), 0);
    protobuf_c_message_free_unpacked(reply, NULL);

    Holdfast__VmReport report = HOLDFAST__VM_REPORT__INIT;
    assert_int_equal(rpc_call_wait(agent, RPC_SERVICE_SERVER, 2, &report.base, 0, &reply, &err), -1);
    assert_int_equal(err.code, ERROR_STORE_FULL);
    assert_string_equal(err.message, "Store s has no room");
    assert_string_equal(err.cause, "disk");

    /* not served */
    assert_int_equal(rpc_call_wait(server, RPC_SERVICE_AGENT, 1, &discover.base, 0, &reply, &err), -1);
    assert_int_equal(err.code, ERROR_PROTOCOL_INVALID);
    close_pair(&dial, agent, server);
}

static void test_deadline_and_loss(void **state)
{
    (void)state;
    struct error err;
    struct dial dial;
    ProtobufCMessage *reply;
    Holdfast__JobProgress progress = HOLDFAST__JOB_PROGRESS__INIT;
    dial_start(&dial, &w.target, w.host_tls, agent_methods);
    struct rpc *agent = pop(dial.opened);
    struct rpc *server = pop(w.rpcs);
    assert_int_equal(rpc_call_wait(agent, RPC_SERVICE_SERVER, 3, &progress.base, 20, &reply, &err), -1);
    assert_int_equal(err.code, ERROR_PROTOCOL_TIMEOUT);
    /* the cancel has been on its way before this call */
    Holdfast__RegisterRequest request = HOLDFAST__REGISTER_REQUEST__INIT;
    assert_int_equal(rpc_call_wait(agent, RPC_SERVICE_SERVER, 1, &request.base, 0, &reply, &err), 0);
    protobuf_c_message_free_unpacked(reply, NULL);
    assert_true(rpc_request_cancelled(parked));
    rpc_fail(parked, &err);

    struct error why;
    error_set(&why, ERROR_HOST_CERT_REFUSED, "Host host-1 was retired");
    rpc_close(server, &why);
    struct error *seen = pop(dial.closed);
    assert_int_equal(seen->code, ERROR_HOST_CERT_REFUSED);
    assert_string_equal(seen->message, "Host host-1 was retired");
    free(seen);
    free(pop(w.closed));
    assert_int_equal(rpc_call_wait(agent, RPC_SERVICE_SERVER, 1, &request.base, 0, &reply, &err), -1);
    assert_int_equal(err.code, ERROR_HOST_CERT_REFUSED);
    rpc_unref(agent);
    rpc_unref(server);
    dial_end(&dial);
}

static void test_foreign_certificates(void **state)
{
    (void)state;
    struct error err;
    char other[] = "/tmp/holdfast-other-XXXXXX";
    const char *const names[] = {NULL};
    assert_non_null(mkdtemp(other));
    assert_int_equal(pki_create_authority(other, names, &err), 0);
    char *pem = os_path_join(other, "host.pem");
    char *key = os_path_join(other, "host.key");
    char *foreign_ca = os_path_join(other, "ca.pem");

    /* a host of another server, which trusts this one */
    issue_host(other, "host-1", 30, pem, key);
    struct tls *tls = tls_create_client(pem, key, w.ca, &err);
    assert_non_null(tls);
    expect_refused(&w.target, tls, ERROR_HOST_CERT_REFUSED);
    tls_destroy(tls);

    /* expired */
    issue_host(w.directory, "host-1", -1, pem, key);
    tls = tls_create_client(pem, key, w.ca, &err);
    assert_non_null(tls);
    expect_refused(&w.target, tls, ERROR_HOST_CERT_REFUSED);
    tls_destroy(tls);

    /* a host that trusts another server */
    tls = tls_create_client(w.host_pem, w.host_key, foreign_ca, &err);
    assert_non_null(tls);
    expect_refused(&w.target, tls, ERROR_HOST_CERT_REFUSED);
    tls_destroy(tls);

    /* a server that shows a host's certificate */
    struct tls *imposter = tls_create_server(w.host_pem, w.host_key, w.ca, &err);
    assert_non_null(imposter);
    struct channel_listener *listener =
        channel_listen(w.loop, "127.0.0.1", 0, imposter, 4, on_accepted, NULL, &err);
    struct channel_target target = {.host = "127.0.0.1", .port = channel_listener_port(listener)};
    expect_refused(&target, w.host_tls, ERROR_HOST_CERT_REFUSED);
    channel_listener_close(listener);
    tls_destroy(imposter);

    assert_int_equal(os_path_remove_tree(other, &err), 0);
    free(pem);
    free(key);
    free(foreign_ca);
}

/* The serial that the server sees of this side. */
static char *shown_serial(struct tls *tls)
{
    struct dial dial;
    dial_start(&dial, &w.target, tls, agent_methods);
    struct rpc *agent = pop(dial.opened);
    struct rpc *server = pop(w.rpcs);
    char *serial = memory_copy_text(channel_peer_serial(rpc_channel(server)));
    close_pair(&dial, agent, server);
    return serial;
}

static void test_renewed_certificate(void **state)
{
    (void)state;
    struct error err;
    struct dial dial;
    char *pem = in_directory("renewed.pem");
    issue_host(w.directory, "host-1", 30, pem, w.host_key);
    struct tls *tls = tls_create_client(pem, w.host_key, w.ca, &err);
    assert_non_null(tls);
    dial_start(&dial, &w.target, tls, agent_methods); /* goes on while it is renewed */
    struct rpc *agent = pop(dial.opened);
    struct rpc *server = pop(w.rpcs);
    issue_host(w.directory, "host-1", 30, pem, w.host_key);
    char *before = shown_serial(tls);
    assert_string_equal(before, channel_peer_serial(rpc_channel(server)));
    assert_int_equal(tls_renew_client(tls, pem, w.host_key, w.ca, &err), 0);
    char *after = shown_serial(tls);
    assert_string_not_equal(after, before);
    assert_int_equal(tls_renew_client(tls, "/nowhere", w.host_key, w.ca, &err), -1);
    char *still = shown_serial(tls);
    assert_string_equal(still, after);
    close_pair(&dial, agent, server);
    tls_destroy(tls);
    free(before);
    free(after);
    free(still);
    free(pem);
}

static void test_pinned(void **state)
{
    (void)state;
    struct error err;
    uint8_t fingerprint[DIGEST_SIZE];
    struct dial dial;
    assert_int_equal(pki_fingerprint(w.ca, fingerprint, &err), 0);
    struct tls *pinned = tls_create_pinned(fingerprint, &err);
    dial_start(&dial, &w.target, pinned, agent_methods);
    struct rpc *agent = pop(dial.opened);
    struct rpc *server = pop(w.rpcs);
    assert_string_equal(channel_peer_host(rpc_channel(server)), "");
    close_pair(&dial, agent, server);
    tls_destroy(pinned);

    fingerprint[0] ^= 1;
    pinned = tls_create_pinned(fingerprint, &err);
    expect_refused(&w.target, pinned, ERROR_HOST_CERT_REFUSED);
    tls_destroy(pinned);
}

enum { STREAM_PIECES = 300, STREAM_PIECE = 512 * 1024 };

static void *receive_pieces(void *cookie)
{
    struct stream *stream = cookie;
    uint64_t sum = 0;
    for (int i = 0; i < STREAM_PIECES; i++) {
        struct stream_message *message;
        struct error err;
        assert_int_equal(stream_receive(stream, 20000, &message, &err), 0);
        assert_int_equal(message->type, HOLDFAST__DATA_TYPE__RUN);
        assert_int_equal(message->payload_length, STREAM_PIECE);
        Holdfast__ChunkRun *run =
            holdfast__chunk_run__unpack(NULL, message->message_length, message->message);
        assert_non_null(run);
        assert_int_equal(run->disk, i);
        sum += message->payload[i];
        holdfast__chunk_run__free_unpacked(run, NULL);
        stream_release(stream, message);
    }
    return (void *)(uintptr_t)sum;
}

static void test_stream(void **state)
{
    (void)state;
    struct error err;
    const uint8_t session[] = "0123456789abcdef";
    struct stream *out = stream_connect(w.loop, &w.target, w.host_tls, session, sizeof session, &err);
    assert_non_null(out);
    struct stream *in = pop(w.streams);
    pthread_t receiver;
    uint8_t *piece = memory_alloc(STREAM_PIECE);
    memset(piece, 3, STREAM_PIECE);
    assert_int_equal(pthread_create(&receiver, NULL, receive_pieces, in), 0);
    for (uint32_t i = 0; i < STREAM_PIECES; i++) {
        Holdfast__ChunkRun run = HOLDFAST__CHUNK_RUN__INIT;
        run.disk = i;
        assert_int_equal(stream_send(out, HOLDFAST__DATA_TYPE__RUN, &run.base, piece, STREAM_PIECE, &err), 0);
    }
    void *sum;
    pthread_join(receiver, &sum);
    assert_int_equal((uintptr_t)sum, 3 * STREAM_PIECES);
    free(piece);

    /* a failure told to the peer comes out as the same error, then the end of the connection */
    struct error full;
    error_set(&full, ERROR_STORE_FULL, "no room");
    stream_send_failure(in, &full);
    struct stream_message *message;
    assert_int_equal(stream_receive(out, 20000, &message, &err), -1);
    assert_int_equal(err.code, ERROR_STORE_FULL);
    assert_int_equal(stream_receive(out, 10, &message, &err), -1);
    assert_int_equal(err.code, ERROR_PROTOCOL_TIMEOUT);
    stream_close(in);
    assert_int_equal(stream_receive(out, 20000, &message, &err), -1);
    assert_int_equal(err.code, ERROR_CONNECTION_LOST);
    stream_close(out);
}

/* Raw bytes instead of a peer: plain TCP that never becomes TLS is dropped by the handshake's deadline or at
 * once. */
static void test_garbage(void **state)
{
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(w.target.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    char text[512];
    memset(text, 'x', sizeof text);
    assert_int_equal(write(fd, text, sizeof text), sizeof text);
    while (read(fd, text, sizeof text) > 0) {
    }
    close(fd);
}

/* A CONNECT proxy that wants "user:secret". */
struct proxy {
    int listener;
    uint16_t port;
    uint16_t target_port;
};

static void pump(int a, int b)
{
    char bytes[4096];
    ssize_t n;
    while ((n = read(a, bytes, sizeof bytes)) > 0 && write(b, bytes, (size_t)n) == n) {
    }
    shutdown(b, SHUT_WR);
}

struct pump_pair {
    int from;
    int to;
};

static void *pump_thread(void *cookie)
{
    struct pump_pair *pair = cookie;
    pump(pair->from, pair->to);
    return NULL;
}

static void *proxy_thread(void *cookie)
{
    struct proxy *proxy = cookie;
    for (int served = 0; served < 2; served++) {
        int client = accept(proxy->listener, NULL, NULL);
        char request[2048];
        size_t length = 0;
        request[0] = '\0';
        while (strstr(request, "\r\n\r\n") == NULL && length < sizeof request - 1) {
            ssize_t n = read(client, request + length, sizeof request - 1 - length);
            assert_true(n > 0);
            length += (size_t)n;
            request[length] = '\0';
        }
        if (strstr(request, "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n") == NULL) {
            static const char answer[] = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
            assert_int_equal(write(client, answer, sizeof answer - 1), sizeof answer - 1);
            close(client);
            continue;
        }
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(proxy->target_port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(connect(server, (struct sockaddr *)&address, sizeof address), 0);
        static const char answer[] = "HTTP/1.1 200 Connection established\r\n\r\n";
        assert_int_equal(write(client, answer, sizeof answer - 1), sizeof answer - 1);
        struct pump_pair back = {.from = server, .to = client};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, pump_thread, &back), 0);
        pump(client, server);
        pthread_join(thread, NULL);
        close(client);
        close(server);
    }
    return NULL;
}

static void test_proxy(void **state)
{
    (void)state;
    struct proxy proxy = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                          .target_port = w.target.port};
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(proxy.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(proxy.listener, 4), 0);
    getsockname(proxy.listener, (struct sockaddr *)&address, &length);
    proxy.port = ntohs(address.sin_port);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, proxy_thread, &proxy), 0);

    struct channel_proxy by_proxy = {.host = "127.0.0.1", .port = proxy.port};
    struct channel_target target = w.target;
    target.proxy = &by_proxy;
    expect_refused(&target, w.host_tls, ERROR_PROXY_AUTH_REQUIRED);

    by_proxy.user = "user";
    by_proxy.password = "secret";
    struct dial dial;
    dial_start(&dial, &target, w.host_tls, agent_methods);
    struct rpc *agent = pop(dial.opened);
    struct rpc *server = pop(w.rpcs);
    close_pair(&dial, agent, server);
    pthread_join(thread, NULL);
    close(proxy.listener);
}

static void test_unreachable(void **state)
{
    (void)state;
    struct channel_target nowhere = {.host = "127.0.0.1", .port = 1};
    expect_refused(&nowhere, w.host_tls, ERROR_SERVER_UNREACHABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_both_ways),
        cmocka_unit_test(test_deadline_and_loss),
        cmocka_unit_test(test_foreign_certificates),
        cmocka_unit_test(test_renewed_certificate),
        cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_unreachable),
    };
    signal(SIGPIPE, SIG_IGN); /* as the programs do */
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
