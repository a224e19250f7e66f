/* What a dialler is told of a server that is there and resets the connection: that it was lost, not that
 * nobody listens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/queue.h"
#include "directory_fixture.h"
#include "proto/channel.h"
#include "proto/tls_internal.h"
#include "tls_fixture.h"

struct rude_server {
    int listener;
    struct tls *tls;
};

/* Greets by TLS, then drops the connection as a kernel does of which something is unread. */
static void *rude_thread(void *cookie)
{
    const struct rude_server *server = cookie;
    const struct linger at_once = {.l_onoff = 1};
    int client = accept(server->listener, NULL, NULL);
    SSL *ssl = tls_session(server->tls);
    SSL_set_fd(ssl, client);
    SSL_accept(ssl);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    SSL_free(ssl);
    close(client);
    return NULL;
}

static void on_closed(void *cookie, struct channel *channel, const struct error *why)
{
    (void)channel;
    queue_push(cookie, memory_copy(why, sizeof *why));
}

static enum error_code dial(struct loop *loop, struct tls *tls, uint16_t port)
{
    static const struct channel_handlers handlers = {.closed = on_closed};
    struct queue *closed = queue_create(1);
    struct channel_target target = {.host = "127.0.0.1", .port = port};
    Holdfast__Hello hello = HOLDFAST__HELLO__INIT;
    void *item = NULL;
    hello.role = HOLDFAST__CONNECTION_ROLE__CONTROL;
    struct channel *channel = channel_connect(loop, &target, tls, &hello, &handlers, closed);
    assert_true(queue_pop_timed(closed, &item, 20000));
    enum error_code code = ((struct error *)item)->code;
    free(item);
    channel_unref(channel);
    queue_destroy(closed);
    return code;
}

static void a_reset_is_no_refusal(void **state)
{
    (void)state;
    struct error err;
    struct rude_server server = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    struct tls *host;
    pthread_t thread;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &length), 0);
    make_tls(directory, &server.tls, &host);
    struct loop *loop = loop_create("test", &err);
    check(loop != NULL ? 0 : -1, err);
    assert_int_equal(dial(loop, host, ntohs(address.sin_port)),
                     ERROR_SERVER_UNREACHABLE); /* nobody listens */
    assert_int_equal(listen(server.listener, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, rude_thread, &server), 0);
    assert_int_equal(dial(loop, host, ntohs(address.sin_port)), ERROR_CONNECTION_LOST);
    pthread_join(thread, NULL);
    close(server.listener);
    loop_destroy(loop);
    tls_destroy(host);
    tls_destroy(server.tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_reset_is_no_refusal)};
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
