/*
 * From the store's recovery points to the catalog's rows: for a point that was just committed, and for all
 * that the catalog lacks (it was lost, or the server died between store and catalog). All block; thread-safe.
 */
#ifndef HOLDFAST_SERVER_POINT_IMPORT_H
#define HOLDFAST_SERVER_POINT_IMPORT_H

#include "server/catalog/catalog.h"
#include "storage/point.h"

/* Fill the row from the point, job and reason empty; texts are borrowed from the point. Gives its disks, in
 * the arena. */
struct catalog_point_disk *point_row_from_store(struct arena *arena, const struct point *point,
                                                struct catalog_point *row);

/* List every point of the store that the catalog lacks, with its VM and host where those are unknown too;
 * points whose record can't be read are logged and left out. */
int point_import_all(struct catalog *catalog, struct store *store, uint64_t *imported, struct error *err);

/* Mark the points that the catalog has and the store has not, or can't read, as damaged: they can't be
 * restored. */
int point_mark_missing(struct catalog *catalog, struct store *store, struct error *err);

#endif
