/* Tables as RFC 4180: CRLF, quotes where they are needed. */
#ifndef HOLDFAST_SERVER_REPORT_CSV_H
#define HOLDFAST_SERVER_REPORT_CSV_H

#include "base/buffer.h"
#include <jansson.h>

/* The names of the columns, ends with NULL. */
int csv_add_header(struct buffer *out, const char *const *columns);
/* These members of the object: texts, numbers, truths; null and absent ones are empty. A text that a
 * spreadsheet would take for a formula (=, +, -, @, tab or return first) gets an apostrophe before it. -1:
 * past the buffer's limit. */
int csv_add_row(struct buffer *out, const char *const *columns, const json_t *row);

#endif
