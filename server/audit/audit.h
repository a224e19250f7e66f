/*
 * The audit record: who did what, when, from where, and how it ended. Append-only; each entry's hash covers
 * the one before (server/audit/chain.h). The newest entry's number and hash, the head, also stand outside the
 * catalog, in a file of the data directory and once a minute in the log, so that an end that was cut off is
 * missed.
 *
 * A change is recorded before it is made and, with its outcome, when it is over: audit_begin, audit_end. When
 * the former fails the change must not be made.
 *
 * Thread-safe; blocks on the disk. Never called between catalog_begin and its end: the record has a lock of
 * its own, which comes before the catalog's.
 */
#ifndef HOLDFAST_SERVER_AUDIT_AUDIT_H
#define HOLDFAST_SERVER_AUDIT_AUDIT_H

#include "server/audit/chain.h"

struct audit;

/* Goes on where the record ends. When that is not where the file says, an entry tells so for ever. head_path
 * is copied. */
struct audit *audit_open(struct catalog *catalog, const char *head_path, struct error *err);
void audit_close(struct audit *audit); /* NULL is fine */

/* Texts are cut at a length, and what is no UTF-8 in them is replaced. NULL is "". */
struct audit_entry {
    const char *actor;   /* "admin", "retention", "server" */
    const char *address; /* of who asks; "" for the server itself */
    const char *action;  /* "DELETE /v1/groups/{group}", "retention delete" */
    const char *object;  /* as it was named */
    const char *detail;  /* JSON, without secrets; NULL: {} */
};

/* What is about to be done. AUDIT_FAILED: it must not be. */
int audit_begin(struct audit *audit, const struct audit_entry *entry, int64_t *number, struct error *err);
/* How it ended: refused NULL: done. A failure is logged: what was begun is on record. */
void audit_end(struct audit *audit, const struct audit_entry *entry, int64_t number,
               const struct error *refused);
/* What is over already, or just happens. AUDIT_FAILED. */
int audit_note(struct audit *audit, const struct audit_entry *entry, struct error *err);

/* Refusals of strangers: so many are recorded and no more, so that nobody fills the disk. False: leave this
 * one out. Quick; may be called on an event loop. */
bool audit_stranger_counts(struct audit *audit);
/* Such a refusal; also says how many were left out since the last one. Failures are logged. */
void audit_stranger(struct audit *audit, const struct audit_entry *entry, const struct error *refused);

struct audit_verdict {
    int64_t first; /* entries that are there; 0: none */
    int64_t last;
    struct chain_head head; /* as far as the chain holds */
    int64_t broken;         /* the first entry that is not as it should be; 0: the record is whole */
    char why[160];
};

/* Reads the whole record. known: a head that was noted somewhere else, number 0: none. */
int audit_verify(struct audit *audit, const struct chain_head *known, struct audit_verdict *verdict,
                 struct error *err);

/* Removes entries older than so many days, with an entry that lets the chain begin behind them. */
int audit_prune(struct audit *audit, unsigned days, struct error *err);
/* The head into the log when it has changed since the last call, and the file to the disk. */
void audit_log_head(struct audit *audit);

#endif
