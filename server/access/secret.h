/*
 * Secrets of users: passwords and PINs by scrypt (RFC 7914), tokens and recovery codes by SHA-256, since
 * these are random. Thread-safe. Hashing a password takes 32 MiB and a good part of a second: two are hashed
 * at once, others wait, so none of it is done on an event loop.
 */
#ifndef HOLDFAST_SERVER_ACCESS_SECRET_H
#define HOLDFAST_SERVER_ACCESS_SECRET_H

#include "base/digest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SECRET_HASH_SIZE = 256,  /* of a password's hash, with its NUL */
    SECRET_TOKEN_SIZE = 80,  /* of a token */
    SECRET_DIGEST_SIZE = 65, /* of a token's hash */
    SECRET_BASE32_SIZE = 33, /* of 20 bytes */
    SECRET_RECOVERY_SIZE = 20,
    SECRET_PASSWORD_MIN = 10,
    SECRET_PASSWORD_MAX = 1024,
};

/* "scrypt$15$8$3$SALT$HASH": the parameters stand with the hash, so that they can be raised later. */
void secret_hash_password(const char *password, char out[SECRET_HASH_SIZE]);
/* In constant time. hash NULL, empty or not one of these: hashes all the same, and is false, so that it takes
 * as long as a wrong password. */
bool secret_check_password(const char *password, const char *hash);
/* What the former do, by itself: log2 of N, r and p. -1 when OpenSSL refuses them. */
int secret_scrypt(const char *password, const void *salt, size_t salt_length, unsigned cost, unsigned r,
                  unsigned p, uint8_t *out, size_t length);

/* "hfs_" and 256 random bits. prefix: "hfs_" of sessions, "hft_" of API tokens. */
void secret_make_token(const char *prefix, char out[SECRET_TOKEN_SIZE]);
/* SHA-256 in hexadecimal. */
void secret_digest(const char *secret, char out[SECRET_DIGEST_SIZE]);
/* Of two texts of the same length, in constant time. */
bool secret_equal(const char *a, const char *b);
/* 80 random bits as "abcd-efgh-ijkl-mnop". */
void secret_make_recovery_code(char out[SECRET_RECOVERY_SIZE]);
/* A recovery code as it was made, from what was typed: lower case, dashes where they belong. False when it
 * has not its form. */
bool secret_read_recovery_code(const char *typed, char out[SECRET_RECOVERY_SIZE]);

/* RFC 4648 base 32 without padding, upper case; length a multiple of 5. out: 8 characters for 5 bytes and a
 * NUL. */
void secret_base32_encode(const uint8_t *bytes, size_t length, char *out);
/* Exactly length bytes; -1 otherwise. */
int secret_base32_decode(const char *text, uint8_t *out, size_t length);

#endif
