/*
 * How often someone may ask, and how often he may be wrong. Both count by a key (an address, a token's hash,
 * a user's name) in a table of a fixed size: when it is full, what least is held against is forgotten.
 * Thread-safe; nothing blocks. Times are monotonic.
 */
#ifndef HOLDFAST_SERVER_ACCESS_LIMITS_H
#define HOLDFAST_SERVER_ACCESS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* --- requests in a time: a bucket of `burst` that fills with `per_second` */
struct rate_limit;
struct rate_limit *rate_limit_create(double per_second, double burst);
void rate_limit_destroy(struct rate_limit *limit); /* NULL is fine */
/* One more request. True: it may be answered. False: *wait_ms until the next may. */
bool rate_limit_take(struct rate_limit *limit, const char *key, int64_t *wait_ms);

/* --- wrong tries: after `free_tries` each one more doubles the time in which no try counts, from 5 seconds
 * to 15 minutes. They are forgotten an hour after the last, and with a right try. */
struct lockout;
struct lockout *lockout_create(unsigned free_tries);
void lockout_destroy(struct lockout *lockout); /* NULL is fine */
/* How long the next try has to wait; 0: it counts. */
int64_t lockout_wait_ms(struct lockout *lockout, const char *key);
/* Called before the try is checked, so that tries at once count, too. */
void lockout_wrong(struct lockout *lockout, const char *key);
/* It was right: nothing is held against it any more. */
void lockout_right(struct lockout *lockout, const char *key);
/* It was right, but the earlier wrong ones stay: for addresses, where someone may have a password of his own.
 */
void lockout_undo(struct lockout *lockout, const char *key);

#endif
