#include "server/access/limits.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/identity.h"
#include "base/memory.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 512, WAYS = 8, TAG_SIZE = 16, SEED_SIZE = 16 };

struct entry {
    uint8_t tag[TAG_SIZE]; /* of the key: a keyed hash, so that nobody chooses keys that meet */
    bool used;
    double level; /* what is held against it */
    int64_t updated_ms;
    int64_t until_ms;
};

struct limit_table {
    pthread_mutex_t lock; /* guards the entries */
    uint8_t seed[SEED_SIZE];
    struct entry entries[SETS][WAYS];
};

static void table_init(struct limit_table *table)
{
    pthread_mutex_init(&table->lock, NULL);
    identity_random(table->seed, sizeof table->seed);
}

/* The entry of a key, or a fresh one in place of the lightest. Under the lock. */
static struct entry *table_entry(struct limit_table *table, const char *key)
{
    uint8_t digest[DIGEST_SIZE];
    digest_hmac_sha256(table->seed, sizeof table->seed, key, strlen(key), digest);
    struct entry *set = table->entries[(digest[TAG_SIZE] | digest[TAG_SIZE + 1] << 8) % SETS];
    struct entry *lightest = set;
    for (struct entry *entry = set; entry < set + WAYS; entry++) {
        if (entry->used && memcmp(entry->tag, digest, TAG_SIZE) == 0) {
            return entry;
        }
        if (lightest->used && (!entry->used || entry->level < lightest->level)) {
            lightest = entry;
        }
    }
    *lightest = (struct entry){.used = true, .updated_ms = clock_monotonic_ms()};
    memcpy(lightest->tag, digest, TAG_SIZE);
    return lightest;
}

/* --- requests */

struct rate_limit {
    double per_second;
    double burst;
    struct limit_table table;
};

struct rate_limit *rate_limit_create(double per_second, double burst)
{
    struct rate_limit *limit = memory_zalloc(sizeof *limit);
    limit->per_second = per_second;
    limit->burst = burst;
    table_init(&limit->table);
    return limit;
}

void rate_limit_destroy(struct rate_limit *limit)
{
    if (limit != NULL) {
        pthread_mutex_destroy(&limit->table.lock);
        free(limit);
    }
}

bool rate_limit_take(struct rate_limit *limit, const char *key, int64_t *wait_ms)
{
    const double ms = 1000;
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&limit->table.lock);
    struct entry *entry = table_entry(&limit->table, key);
    double left = entry->level - (double)(now - entry->updated_ms) * limit->per_second / ms;
    entry->level = left > 0 ? left : 0;
    entry->updated_ms = now;
    bool allowed = entry->level + 1 <= limit->burst;
    *wait_ms = allowed ? 0 : (int64_t)((entry->level + 1 - limit->burst) / limit->per_second * ms) + 1;
    entry->level += allowed ? 1 : 0;
    pthread_mutex_unlock(&limit->table.lock);
    return allowed;
}

/* --- wrong tries */

enum { DELAY_FIRST_MS = 5000, DELAY_MAX_MS = 15 * 60 * 1000, FORGET_MS = 60 * 60 * 1000 };

struct lockout {
    unsigned free_tries;
    struct limit_table table;
};

struct lockout *lockout_create(unsigned free_tries)
{
    struct lockout *lockout = memory_zalloc(sizeof *lockout);
    lockout->free_tries = free_tries;
    table_init(&lockout->table);
    return lockout;
}

void lockout_destroy(struct lockout *lockout)
{
    if (lockout != NULL) {
        pthread_mutex_destroy(&lockout->table.lock);
        free(lockout);
    }
}

int64_t lockout_wait_ms(struct lockout *lockout, const char *key)
{
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&lockout->table.lock);
    struct entry *entry = table_entry(&lockout->table, key);
    if (now - entry->updated_ms > FORGET_MS) {
        entry->level = 0;
    }
    int64_t wait_ms = entry->until_ms > now ? entry->until_ms - now : 0;
    pthread_mutex_unlock(&lockout->table.lock);
    return wait_ms;
}

void lockout_wrong(struct lockout *lockout, const char *key)
{
    int64_t now = clock_monotonic_ms();
    pthread_mutex_lock(&lockout->table.lock);
    struct entry *entry = table_entry(&lockout->table, key);
    entry->level += 1;
    entry->updated_ms = now;
    int64_t delay_ms = 0;
    for (unsigned tries = lockout->free_tries; tries <= entry->level && delay_ms < DELAY_MAX_MS; tries++) {
        delay_ms = delay_ms == 0 ? DELAY_FIRST_MS : delay_ms * 2;
    }
    delay_ms = delay_ms < DELAY_MAX_MS ? delay_ms : DELAY_MAX_MS;
    entry->until_ms = delay_ms > 0 ? now + delay_ms : 0;
    pthread_mutex_unlock(&lockout->table.lock);
}

void lockout_right(struct lockout *lockout, const char *key)
{
    pthread_mutex_lock(&lockout->table.lock);
    struct entry *entry = table_entry(&lockout->table, key);
    entry->level = 0;
    entry->until_ms = 0;
    pthread_mutex_unlock(&lockout->table.lock);
}

void lockout_undo(struct lockout *lockout, const char *key)
{
    pthread_mutex_lock(&lockout->table.lock);
    struct entry *entry = table_entry(&lockout->table, key);
    entry->level = entry->level > 1 ? entry->level - 1 : 0;
    entry->until_ms = 0;
    pthread_mutex_unlock(&lockout->table.lock);
}
