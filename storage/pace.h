/* Inside the room: keeping work that nobody waits for below a rate. Thread-safe. */
#ifndef HOLDFAST_STORAGE_PACE_H
#define HOLDFAST_STORAGE_PACE_H

#include <pthread.h>
#include <stdint.h>

struct pace {
    uint64_t bytes_per_second; /* 0: no limit */
    pthread_mutex_t lock;
    int64_t free_at_us; /* monotonic: when what was spent is paid off */
};

void pace_init(struct pace *pace, uint64_t bytes_per_second);
void pace_destroy(struct pace *pace);
/* So many bytes were moved: waits as long as the rate asks for. */
void pace_spend(struct pace *pace, uint64_t bytes);

#endif
