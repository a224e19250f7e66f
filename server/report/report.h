/*
 * Reports: tables over a span of time, by VM, by group or (storage) by day. The rows are objects of the API
 * (docs/openapi.yaml); in CSV they have the same columns. Blocks; thread-safe.
 */
#ifndef HOLDFAST_SERVER_REPORT_REPORT_H
#define HOLDFAST_SERVER_REPORT_REPORT_H

#include "server/catalog/catalog_report.h"
#include "server/protection/standing.h"
#include <jansson.h>

struct report_span {
    int64_t since_ms;
    int64_t until_ms;
    int64_t now_ms;
};

/* One row; several of one group are added up. */
struct report_reader {
    struct catalog *catalog;
    struct arena *arena;
    const char *user_id; /* only of the groups that he is scoped to; NULL: of all */
    struct report_span span;
    struct rpo_rules *rules;
};

struct report_kind {
    const char *name; /* "status" */
    const char *by;   /* "vm" */
    const char *const *columns;
    int64_t default_ms; /* the span, without since */
    /* Appends a page of rows; *last: the number to go on after, 0 when that was all. */
    int (*read)(const struct report_reader *reader, const struct catalog_page *page, json_t *items,
                int64_t *last, struct error *err);
};

/* What the VM is judged by. */
struct rpo_subject report_subject(const struct catalog_vm_report_row *vm);

extern const struct report_kind report_kinds[]; /* ends with a NULL name */
/* by NULL: the first of that name. NULL: there is none. */
const struct report_kind *report_find(const char *name, const char *by);

#endif
