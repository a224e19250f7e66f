/* Inside the room: recovery points as JSON, and the envelope around JSON at rest. */
#ifndef HOLDFAST_STORAGE_POINT_INTERNAL_H
#define HOLDFAST_STORAGE_POINT_INTERNAL_H

#include "storage/point.h"
#include "storage/store_internal.h"
#include <jansson.h>

enum { ENVELOPE_HEADER_SIZE = 40, ENVELOPE_PAYLOAD_MAX = 16 * 1024 * 1024 };

json_t *point_to_json(const struct point *point);
/* NULL when it is not a point. */
struct point *point_from_json(const json_t *root);

/* What a partial map's object says. -1 when it is not one. */
int partial_parse(const json_t *object, uint64_t *disk_size, struct chunk_name *root);

/* Put a JSON object in its envelope, sealed in an encrypted store, durable. */
int envelope_write(struct store *store, const char *object, const json_t *root, struct error *err);
/* Read it back: 1 done, 0 no such object, -1 error: RP_DAMAGED when its content is not right. */
int envelope_read(struct store *store, const char *object, json_t **root, struct error *err);
/* The parser by itself; the bytes are changed. NULL when they are not an envelope with a JSON object in it,
 * or its seal is broken, or it is open and there is a seal. */
json_t *envelope_parse(uint8_t *bytes, size_t length, const struct seal *seal);

/* Calls visit with the root of every partial map that can be read; non-zero stops and is returned. */
int partial_list_roots(struct store *store, int (*visit)(void *cookie, const struct chunk_name *root),
                       void *cookie, struct error *err);

#endif
