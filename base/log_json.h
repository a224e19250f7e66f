/* Inside the log: a line in parts, and its JSON. */
#ifndef HOLDFAST_BASE_LOG_JSON_H
#define HOLDFAST_BASE_LOG_JSON_H

#include "base/buffer.h"

struct log_line {
    const char *time;
    const char *level;
    const char *component;
    const char *event;
    const char *fields; /* key=value key="two words" */
    const char *job;    /* ""; otherwise after the fields */
};

/* One object, without a newline. What the fields hold beside pairs is left out; bytes that are no UTF-8
 * become
 * '?'. */
void log_json_write(struct buffer *out, const struct log_line *line);

#endif
