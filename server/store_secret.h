/*
 * The secret that opens an encrypted store, from a file that an operator names. The bytes are wiped when it
 * is cleared. Blocks; not thread-safe.
 */
#ifndef HOLDFAST_SERVER_STORE_SECRET_H
#define HOLDFAST_SERVER_STORE_SECRET_H

#include "base/error.h"
#include "storage/keys.h"

struct store_secret_file {
    enum store_key_kind kind;
    const char *path; /* NULL: the store is not encrypted */
};

struct store_secret_bytes {
    struct store_secret secret;
    void *bytes; /* owned */
};

/* A passphrase or recovery key ends at the end of its first line, a key file is taken as it is.
 * CONFIG_INVALID when it can't be read or is empty. */
int store_secret_read(const struct store_secret_file *file, struct store_secret_bytes *secret,
                      struct error *err);
void store_secret_clear(struct store_secret_bytes *secret);
/* NULL for a store without encryption. */
const struct store_secret *store_secret_of(const struct store_secret_bytes *secret);

#endif
