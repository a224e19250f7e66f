/*
 * A bounded set of chunk names. Not thread-safe.
 */
#ifndef HOLDFAST_SERVER_NAME_SET_H
#define HOLDFAST_SERVER_NAME_SET_H

#include "storage/chunk.h"

struct name_set;

struct name_set *name_set_create(size_t limit);
void name_set_destroy(struct name_set *set);
/* At the limit nothing is added any more. */
void name_set_add(struct name_set *set, const struct chunk_name *name);
bool name_set_has(const struct name_set *set, const struct chunk_name *name);

#endif
