#include "agent/dial.h"

#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>

/* Shared by the waiting thread and the loop until the connection is open or has failed. */
struct dialling {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct rpc_options *options;
    struct rpc *rpc;
    bool done;
    struct error err;
};

static void settle(struct dialling *dialling)
{
    dialling->done = true;
    pthread_cond_signal(&dialling->changed);
    pthread_mutex_unlock(&dialling->lock);
}

static void on_opened(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    (void)peer;
    struct dialling *dialling = cookie;
    pthread_mutex_lock(&dialling->lock);
    dialling->rpc = rpc_create(channel, dialling->options);
    settle(dialling);
}

static void on_closed(void *cookie, struct channel *channel, const struct error *why)
{
    (void)channel;
    struct dialling *dialling = cookie;
    pthread_mutex_lock(&dialling->lock);
    dialling->err = *why;
    settle(dialling);
}

struct rpc *dial(struct loop *loop, const struct channel_target *target, struct tls *tls,
                 Holdfast__ConnectionRole role, const struct rpc_options *options, struct error *err)
{
    static const struct channel_handlers handlers = {.opened = on_opened, .closed = on_closed};
    struct dialling dialling = {.options = options};
    Holdfast__Hello hello = HOLDFAST__HELLO__INIT;
    hello.role = role;
    pthread_mutex_init(&dialling.lock, NULL);
    pthread_cond_init(&dialling.changed, NULL);
    struct channel *channel = channel_connect(loop, target, tls, &hello, &handlers, &dialling);
    pthread_mutex_lock(&dialling.lock);
    while (!dialling.done) {
        pthread_cond_wait(&dialling.changed, &dialling.lock);
    }
    pthread_mutex_unlock(&dialling.lock);
    channel_unref(channel);
    pthread_cond_destroy(&dialling.changed);
    pthread_mutex_destroy(&dialling.lock);
    if (dialling.rpc == NULL) {
        *err = dialling.err;
    }
    return dialling.rpc;
}
