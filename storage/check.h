/*
 * Inside the room: is a point whole? Many points share most of their nodes; a checker remembers which of them
 * it found whole, and visits those once.
 */
#ifndef HOLDFAST_STORAGE_CHECK_H
#define HOLDFAST_STORAGE_CHECK_H

#include "storage/maintenance.h"

struct checker;

struct checker *checker_create(struct store *store);
void checker_destroy(struct checker *checker);
/* As store_check_point. */
int checker_check_point(struct checker *checker, const char *point_id, uint64_t *missing_chunks,
                        struct error *err);

#endif
