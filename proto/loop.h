/*
 * An event loop on a thread of its own (libevent). Everything network runs on loops and never blocks; work
 * that blocks is handed to pools and answered with loop_post.
 */
#ifndef HOLDFAST_PROTO_LOOP_H
#define HOLDFAST_PROTO_LOOP_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;
struct loop_timer;
typedef void (*loop_call)(void *cookie);

/* name: of the thread, at most 15 characters. Starts the thread. */
struct loop *loop_create(const char *name, struct error *err);
/* Ends the thread after what is posted has run. Not from the loop's own thread. Everything on it is closed
 * before. */
void loop_destroy(struct loop *loop);
/* Run call(cookie) on the loop's thread soon, in order. From any thread. */
void loop_post(struct loop *loop, loop_call call, void *cookie);
/* As loop_post, and wait until it ran. Runs it at once on the loop's own thread. */
void loop_run_on(struct loop *loop, loop_call call, void *cookie);
bool loop_is_current(const struct loop *loop);

/* Call once after delay_ms, or every period when `repeat`. On the loop's thread only (as is
 * loop_timer_cancel). */
struct loop_timer *loop_timer_start(struct loop *loop, int64_t delay_ms, bool repeat, loop_call call,
                                    void *cookie);
void loop_timer_cancel(
    struct loop_timer *timer); /* NULL is fine; needed after a one-shot timer has run, too */

/* For evhttp and the like, on the loop's own thread. */
struct event_base *loop_event_base(struct loop *loop);

#endif
