/*
 * A file that takes room on a disk so that there is some when it is full: released then, so that the catalog
 * can be written and a collection can work, and taken again when there is room enough. It holds nothing.
 * Thread-safe; blocks on the disk.
 */
#ifndef HOLDFAST_SERVER_CAPACITY_RESERVE_H
#define HOLDFAST_SERVER_CAPACITY_RESERVE_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct reserve;

/* In this directory; bytes 0: none is held. Takes it when there is room, and otherwise later (reserve_look).
 */
struct reserve *reserve_open(const char *directory, uint64_t bytes, struct error *err);
void reserve_close(struct reserve *reserve); /* the file stays; NULL is fine */

/* Makes room. True when it held any. */
bool reserve_release(struct reserve *reserve);
/* Now and then: releases it when the disk is nearly full, takes it again when three times its size is free.
 */
void reserve_look(struct reserve *reserve);
/* True also when none is to be held. */
bool reserve_is_held(struct reserve *reserve);
uint64_t reserve_bytes(const struct reserve *reserve);
/* The default: 64 MiB, and a sixteenth of a small disk at most. */
uint64_t reserve_default(uint64_t disk_bytes);

#endif
