/*
 * Inside the room: holdfast-store.json, what a directory needs to be a store, and the slots that hold the
 * keys of an encrypted one (docs/format.md).
 */
#ifndef HOLDFAST_STORAGE_SUPERBLOCK_H
#define HOLDFAST_STORAGE_SUPERBLOCK_H

#include "storage/keys.h"
#include "storage/seal.h"

enum {
    SUPERBLOCK_FORMAT = 1,
    SUPERBLOCK_SIZE_MAX = 65536,
    SUPERBLOCK_SALT_SIZE = 32,
    SUPERBLOCK_WRAPPED_SIZE = 2 * SEAL_KEY_SIZE + SEAL_OVERHEAD,
};

#define SUPERBLOCK_NAME "holdfast-store.json"
#define SUPERBLOCK_COPY_NAME "holdfast-store-copy.json"

struct superblock_slot {
    unsigned id; /* 1 and up; 0: the place is free */
    enum store_key_kind kind;
    unsigned cost; /* passphrases: log2 of scrypt's N */
    uint8_t salt[SUPERBLOCK_SALT_SIZE];
    uint8_t wrapped[SUPERBLOCK_WRAPPED_SIZE];
};

struct superblock {
    char id[IDENTITY_SIZE];
    uint8_t uuid[16]; /* the id as bytes */
    uint32_t chunk_size;
    bool encrypted;
    uint32_t key_id;
    struct superblock_slot slots[STORE_KEYS_MAX];
};

/* Give it a new id. */
void superblock_new_id(struct superblock *superblock);

/* As text, malloc'd. */
char *superblock_format(const struct superblock *superblock);
/* 0, -1 damaged, -2 of a format that this program does not know; STORE_INVALID both. `where` is for the
 * message. */
int superblock_parse(const uint8_t *bytes, size_t length, const char *where, struct superblock *superblock,
                     struct error *err);

/* Put the keys under a secret into a free slot. LIMIT_EXCEEDED when there is none. cost 0: the default. */
int superblock_wrap(struct superblock *superblock, const struct store_secret *secret, unsigned cost,
                    const struct seal_keys *keys, unsigned *slot, struct error *err);
/* Try the secret on every slot of its kind. STORE_KEY_WRONG. Slow on purpose. *slot says which it was. */
int superblock_unwrap(const struct superblock *superblock, const struct store_secret *secret,
                      struct seal_keys *keys, unsigned *slot, struct error *err);

/* The random bytes of a recovery key, from its text. -1 when it is mistyped. */
int store_recovery_decode(const char *text, size_t length, uint8_t key[SEAL_KEY_SIZE]);

#endif
