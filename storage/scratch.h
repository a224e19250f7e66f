/*
 * Inside the room: working memory that a thread keeps between calls, since large blocks that come and go cost
 * a page fault for every 4 KiB. Freed when the thread ends.
 */
#ifndef HOLDFAST_STORAGE_SCRATCH_H
#define HOLDFAST_STORAGE_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

enum scratch_use { SCRATCH_PLAIN, SCRATCH_PART, SCRATCH_PACKED, SCRATCH_RECORD, SCRATCH_USES };

/* size bytes, not initialised, until the thread asks for the same use again. */
uint8_t *scratch_get(enum scratch_use use, size_t size);

#endif
