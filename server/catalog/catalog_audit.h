/*
 * The rows of the audit record. What is in them and how they hang together is server/audit/audit.h's; nobody
 * else writes here. As the rest of the catalog: thread-safe, blocking, CATALOG_FAILED.
 */
#ifndef HOLDFAST_SERVER_CATALOG_AUDIT_H
#define HOLDFAST_SERVER_CATALOG_AUDIT_H

#include "server/catalog/catalog.h"

struct catalog_audit {
    int64_t number; /* from 1, without gaps */
    int64_t time_ms;
    const char *actor;
    const char *address; /* "" for what the server does by itself */
    const char *action;
    const char *object;
    const char *outcome; /* "begun", "done", "refused", "noted" */
    const char *code;    /* why it was refused; "" */
    const char *detail;  /* JSON */
    int64_t of;          /* the row that this is the outcome of; 0 */
    const char *hash;    /* 64 hexadecimal digits */
};

int catalog_audit_insert(struct catalog *catalog, const struct catalog_audit *row, struct error *err);
/* The newest; *row NULL when there is none. */
int catalog_audit_last(struct catalog *catalog, struct arena *arena, const struct catalog_audit **row,
                       struct error *err);
/* Oldest first, after number page->after. */
int catalog_audit_walk(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                       const struct catalog_audit **rows, size_t *count, struct error *err);

struct catalog_audit_filter {
    int64_t since_ms;
    int64_t until_ms;   /* 0: any */
    const char *actor;  /* NULL: any */
    const char *object; /* NULL: any; otherwise the row's object, or in its details */
    bool all;           /* also the beginnings of what has its outcome in another row */
};
/* Newest first, before number page->after. */
int catalog_audit_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_audit_filter *filter, const struct catalog_page *page,
                       const struct catalog_audit **rows, size_t *count, struct error *err);
/* *hash NULL when there is no such row. */
int catalog_audit_hash(struct catalog *catalog, struct arena *arena, int64_t number, const char **hash,
                       struct error *err);
/* As the row tells that notes the removal of everything up to this number. */
int catalog_audit_checkpoint(struct catalog *catalog, struct arena *arena, int64_t number, const char **hash,
                             struct error *err);
/* The newest row before a time: *number 0 when there is none. */
int catalog_audit_before(struct catalog *catalog, struct arena *arena, int64_t time_ms, int64_t *number,
                         const char **hash, struct error *err);
int catalog_audit_prune(struct catalog *catalog, int64_t up_to, struct error *err);

#endif
