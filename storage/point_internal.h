/* Inside the room: recovery points as JSON, and the envelope around JSON on disk. */
#ifndef HOLDFAST_STORAGE_POINT_INTERNAL_H
#define HOLDFAST_STORAGE_POINT_INTERNAL_H

#include "storage/point.h"
#include <jansson.h>

enum { ENVELOPE_HEADER_SIZE = 40, ENVELOPE_PAYLOAD_MAX = 16 * 1024 * 1024 };

json_t *point_to_json(const struct point *point);
/* NULL when it is not a point. */
struct point *point_from_json(const json_t *root);

/* Write a JSON object in its envelope, durable. */
int envelope_write(const char *path, json_t *root, struct error *err);
/* Read it back; FILE_FAILED when the file can't be read, RP_DAMAGED when its content is not right. */
json_t *envelope_read(const char *path, struct error *err);
/* The parser by itself. NULL when the bytes are not an envelope with JSON in it. */
json_t *envelope_parse(const uint8_t *bytes, size_t length);

#endif
