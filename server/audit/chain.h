/*
 * How the entries of the audit record hang together: the hash of each covers it and the one before. Pure
 * functions.
 *
 * The hash is SHA-256 over the previous entry's hash (64 hexadecimal digits; 64 zeros before the first) and
 * the entry's fields number, time (ms), actor, address, action, object, outcome, code, detail, of, in this
 * order, numbers in decimal, each as its length in bytes in decimal, ':', the bytes, ','.
 */
#ifndef HOLDFAST_SERVER_AUDIT_CHAIN_H
#define HOLDFAST_SERVER_AUDIT_CHAIN_H

#include "base/digest.h"
#include "server/catalog/catalog_audit.h"

enum { CHAIN_HASH_SIZE = 2 * DIGEST_SIZE + 1 };

struct chain_head {
    int64_t number; /* 0: no entry yet */
    char hash[CHAIN_HASH_SIZE];
};

void chain_head_init(struct chain_head *head);
void chain_hash(const char *previous, const struct catalog_audit *row, char hash[CHAIN_HASH_SIZE]);
/* Does the row follow the head? Then the head is the row. Otherwise -1, and *why is a constant that says what
 * is wrong. */
int chain_follow(struct chain_head *head, const struct catalog_audit *row, const char **why);

/* "NUMBER HASH", as in the file and in the log. -1 when it is not that. */
int chain_head_parse(const char *text, struct chain_head *head);

#endif
