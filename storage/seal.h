/*
 * Encryption at rest: what is filed under which name, and sealed payloads. docs/format.md reasons about
 * nonces and limits. Source: C2SP XAES-256-GCM (AES-256-GCM with a 192-bit nonce, NIST SP 800-108r1 and SP
 * 800-38D).
 *
 * A plain store has no seal: NULL is fine for seal_name and seal_is_on. Thread-safe.
 */
#ifndef HOLDFAST_STORAGE_SEAL_H
#define HOLDFAST_STORAGE_SEAL_H

#include "storage/chunk.h"

enum {
    SEAL_KEY_SIZE = 32,
    SEAL_NONCE_SIZE = 24,
    SEAL_TAG_SIZE = 16,
    SEAL_OVERHEAD = SEAL_NONCE_SIZE + SEAL_TAG_SIZE,
};

/* The name under which a chunk or node lies at rest: its own in a plain store, HMAC-SHA-256(name key, its
 * own) in an encrypted one. A type of its own, so that the two are never mistaken for each other. */
struct stored_name {
    uint8_t bytes[32];
};

/* The keys of a store. */
struct seal_keys {
    uint8_t data[SEAL_KEY_SIZE];
    uint8_t name[SEAL_KEY_SIZE];
};

struct seal;

struct seal *seal_create(const struct seal_keys *keys, uint32_t key_id);
void seal_destroy(struct seal *seal); /* wipes the keys; NULL is fine */
/* Which of the store's keys it is; written into every sealed record. */
uint32_t seal_key_id(const struct seal *seal);
void seal_copy_keys(const struct seal *seal, struct seal_keys *keys);

void seal_name(const struct seal *seal, const struct chunk_name *name, struct stored_name *stored);

/* out has length + SEAL_OVERHEAD bytes: nonce, ciphertext, tag. The associated data is authenticated, not
 * stored. plain and out must not overlap. */
void seal_encrypt(const uint8_t key[SEAL_KEY_SIZE], const void *associated, size_t associated_length,
                  const void *plain, size_t length, uint8_t *out);
/* In place: on success *plain points to the plaintext inside `sealed`, *plain_length is its length. -1 when
 * anything was changed, or the key is another. */
int seal_decrypt(const uint8_t key[SEAL_KEY_SIZE], const void *associated, size_t associated_length,
                 uint8_t *sealed, size_t sealed_length, uint8_t **plain, size_t *plain_length);
/* The key that payloads are sealed with. */
const uint8_t *seal_data_key(const struct seal *seal);

#endif
