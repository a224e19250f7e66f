#include "proto/loop.h"

#include "base/memory.h"
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdlib.h>

struct loop_task {
    loop_call call;
    void *cookie;
    struct loop_task *next;
};

struct loop {
    struct event_base *base;
    struct event *wake;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the tasks and `ending` */
    struct loop_task *first;
    struct loop_task **last;
    bool ending;
};

struct loop_timer {
    struct event *event;
    loop_call call;
    void *cookie;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void loop_library_start(void)
{
    evthread_use_pthreads();
}

static void loop_run_tasks(struct loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    struct loop_task *task = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    bool ending = loop->ending;
    pthread_mutex_unlock(&loop->lock);
    while (task != NULL) {
        struct loop_task *next = task->next;
        task->call(task->cookie);
        free(task);
        task = next;
    }
    if (ending) {
        event_base_loopbreak(loop->base);
    }
}

static void loop_on_wake(evutil_socket_t fd, short events, void *cookie)
{
    (void)fd;
    (void)events;
    loop_run_tasks(cookie);
}

static void *loop_thread(void *cookie)
{
    struct loop *loop = cookie;
    event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    /* What was posted while the last tasks ran. */
    loop_run_tasks(loop);
    return NULL;
}

struct loop *loop_create(const char *name, struct error *err)
{
    pthread_once(&once, loop_library_start);
    struct loop *loop = memory_zalloc(sizeof *loop);
    loop->last = &loop->first;
    pthread_mutex_init(&loop->lock, NULL);
    loop->base = event_base_new();
    loop->wake = loop->base != NULL ? event_new(loop->base, -1, EV_PERSIST, loop_on_wake, loop) : NULL;
    int errnum = loop->wake != NULL ? pthread_create(&loop->thread, NULL, loop_thread, loop) : -1;
    if (errnum != 0) {
        error_set(err, ERROR_LIMIT_EXCEEDED, "The event loop %s could not be started", name);
        if (loop->wake != NULL) {
            event_free(loop->wake);
        }
        if (loop->base != NULL) {
            event_base_free(loop->base);
        }
        pthread_mutex_destroy(&loop->lock);
        free(loop);
        return NULL;
    }
    pthread_setname_np(loop->thread, name);
    return loop;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    pthread_mutex_lock(&loop->lock);
    loop->ending = true;
    pthread_mutex_unlock(&loop->lock);
    event_active(loop->wake, 0, 0);
    pthread_join(loop->thread, NULL);
    event_free(loop->wake);
    event_base_free(loop->base);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

void loop_post(struct loop *loop, loop_call call, void *cookie)
{
    struct loop_task *task = memory_alloc(sizeof *task);
    *task = (struct loop_task){.call = call, .cookie = cookie};
    pthread_mutex_lock(&loop->lock);
    bool first = loop->first == NULL;
    *loop->last = task;
    loop->last = &task->next;
    pthread_mutex_unlock(&loop->lock);
    if (first) {
        event_active(loop->wake, 0, 0);
    }
}

struct loop_wait {
    loop_call call;
    void *cookie;
    pthread_mutex_t lock;
    pthread_cond_t done_changed;
    bool done;
};

static void loop_call_waited(void *cookie)
{
    struct loop_wait *wait = cookie;
    wait->call(wait->cookie);
    pthread_mutex_lock(&wait->lock);
    wait->done = true;
    pthread_cond_signal(&wait->done_changed);
    pthread_mutex_unlock(&wait->lock);
}

void loop_run_on(struct loop *loop, loop_call call, void *cookie)
{
    if (loop_is_current(loop)) {
        call(cookie);
        return;
    }
    struct loop_wait wait = {.call = call, .cookie = cookie};
    pthread_mutex_init(&wait.lock, NULL);
    pthread_cond_init(&wait.done_changed, NULL);
    loop_post(loop, loop_call_waited, &wait);
    pthread_mutex_lock(&wait.lock);
    while (!wait.done) {
        pthread_cond_wait(&wait.done_changed, &wait.lock);
    }
    pthread_mutex_unlock(&wait.lock);
    pthread_cond_destroy(&wait.done_changed);
    pthread_mutex_destroy(&wait.lock);
}

bool loop_is_current(const struct loop *loop)
{
    return pthread_equal(pthread_self(), loop->thread) != 0;
}

static void loop_on_timer(evutil_socket_t fd, short events, void *cookie)
{
    (void)fd;
    (void)events;
    struct loop_timer *timer = cookie;
    timer->call(timer->cookie);
}

struct loop_timer *loop_timer_start(struct loop *loop, int64_t delay_ms, bool repeat, loop_call call,
                                    void *cookie)
{
    struct loop_timer *timer = memory_alloc(sizeof *timer);
    *timer = (struct loop_timer){.call = call, .cookie = cookie};
    short flags = repeat ? EV_PERSIST : 0;
    timer->event = event_new(loop->base, -1, flags, loop_on_timer, timer);
    struct timeval delay = {.tv_sec = (time_t)(delay_ms / 1000),
                            .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};
    event_add(timer->event, &delay);
    return timer;
}

void loop_timer_cancel(struct loop_timer *timer)
{
    if (timer != NULL) {
        event_free(timer->event);
        free(timer);
    }
}

struct event_base *loop_event_base(struct loop *loop)
{
    return loop->base;
}
