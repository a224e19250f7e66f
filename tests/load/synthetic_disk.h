/*
 * Disks that are computed, not stored: what a VM's disk holds follows from the VM's number and the epoch, and
 * so does what changed between two epochs. An epoch is six hours of wall time.
 *
 * 64 MiB, of which the first 2 MiB hold data. In every epoch the first chunk and one other are written. Half
 * of what was there at the beginning is the same in every VM; a chunk compresses to about a quarter.
 */
#ifndef HOLDFAST_TESTS_SYNTHETIC_DISK_H
#define HOLDFAST_TESTS_SYNTHETIC_DISK_H

#include "disk/disk_reader.h"
#include <stdatomic.h>

enum {
    SYNTHETIC_CHUNK = 65536,
    SYNTHETIC_CHUNKS = 1024,
    SYNTHETIC_DATA_CHUNKS = 32,
};

/* Of wall time in milliseconds; 0 before 2027. */
unsigned synthetic_epoch(int64_t wall_ms);
/* The chunk as it was in that epoch. */
void synthetic_fill(unsigned vm, unsigned epoch, unsigned chunk, uint8_t out[SYNTHETIC_CHUNK]);
/* Whether it was written after epoch `from`, up to and with epoch `to`. */
bool synthetic_changed(unsigned vm, unsigned from, unsigned to, unsigned chunk);

/* changed_since: what is unchanged since then is told so; -1: everything is data or zeros. */
struct disk_reader *synthetic_open(unsigned vm, unsigned epoch, int changed_since);

/* Every read of a chunk takes so much longer. */
extern atomic_uint synthetic_delay_ms;

/* 0 when the file is that VM's disk in *epoch, which its first chunk tells; otherwise what is wrong is
 * printed. */
int synthetic_check(const char *path, unsigned vm, unsigned *epoch);

#endif
