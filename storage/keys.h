/*
 * The keys of an encrypted store. Random keys encrypt the data; each secret (a passphrase, or a key: a file
 * or the recovery key) opens a slot that holds them. So secrets can be added, changed and removed without
 * rewriting data; a store needs one at least. What changes slots is durable when it returns.
 *
 * Secrets are never logged and never kept: an open store keeps only the keys.
 */
#ifndef HOLDFAST_STORAGE_KEYS_H
#define HOLDFAST_STORAGE_KEYS_H

#include "storage/store.h"

enum {
    STORE_KEYS_MAX = 8,
    STORE_PASSPHRASE_MAX = 1024,
    STORE_KEY_FILE_MIN = 32, /* bytes of a key file: random ones, or whoever has the store can guess them */
    STORE_KEY_FILE_MAX = 65536,
    STORE_RECOVERY_TEXT_SIZE = 72,
};

enum store_key_kind {
    STORE_KEY_PASSPHRASE, /* anything that a person can remember: stretched by scrypt */
    STORE_KEY_FILE,       /* 32 or more random bytes: the content of a key file */
    STORE_KEY_RECOVERY,   /* as store_key_add_recovery printed it, any case, with or without dashes */
};

struct store_secret {
    enum store_key_kind kind;
    const void *bytes; /* borrowed for the call */
    size_t length;
};

struct store_key_slot {
    unsigned id;
    enum store_key_kind kind;
};

/* REQUEST_INVALID for a store without encryption, or a secret that is too short or too long. */
int store_key_add(struct store *store, const struct store_secret *secret, unsigned *slot, struct error *err);
/* Make a recovery key, shown once: 8 groups of 7 characters. */
int store_key_add_recovery(struct store *store, char text[STORE_RECOVERY_TEXT_SIZE], unsigned *slot,
                           struct error *err);
/* Replace a secret in one step. STORE_KEY_WRONG when `old` opens nothing; nothing is changed then. */
int store_key_change(struct store *store, const struct store_secret *old, const struct store_secret *secret,
                     struct error *err);
/* REQUEST_INVALID for an unknown slot, or the last one. */
int store_key_remove(struct store *store, unsigned slot, struct error *err);
/* How many; fills `slots`. 0 for a store without encryption. */
size_t store_key_list(struct store *store, struct store_key_slot slots[STORE_KEYS_MAX]);

#endif
