#include "storage/seal.h"

#include "base/digest.h"
#include "base/identity.h"
#include "base/memory.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, HMAC_BLOCK = 64, GCM_NONCE_SIZE = 12 };

struct seal {
    struct seal_keys keys;
    uint32_t key_id;
    uint8_t inner[HMAC_BLOCK]; /* the name key with HMAC's pads */
    uint8_t outer[HMAC_BLOCK];
};

static EVP_CIPHER *gcm;
static EVP_CIPHER *ecb;
static pthread_key_t context_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void seal_fail(void)
{
    fputs("AES-256-GCM is not available\n", stderr);
    abort();
}

static void context_free(void *context)
{
    EVP_CIPHER_CTX_free(context);
}

static void seal_start(void)
{
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    if (gcm == NULL || ecb == NULL || pthread_key_create(&context_key, context_free) != 0) {
        seal_fail();
    }
}

/* One context a thread: making one costs more than sealing a map node. */
static EVP_CIPHER_CTX *seal_context(void)
{
    pthread_once(&once, seal_start);
    EVP_CIPHER_CTX *context = pthread_getspecific(context_key);
    if (context == NULL) {
        context = EVP_CIPHER_CTX_new();
        if (context == NULL || pthread_setspecific(context_key, context) != 0) {
            seal_fail();
        }
    }
    return context;
}

struct seal *seal_create(const struct seal_keys *keys, uint32_t key_id)
{
    struct seal *seal = memory_zalloc(sizeof *seal);
    seal->keys = *keys;
    seal->key_id = key_id;
    memset(seal->inner, 0x36, sizeof seal->inner);
    memset(seal->outer, 0x5c, sizeof seal->outer);
    for (size_t i = 0; i < sizeof keys->name; i++) {
        seal->inner[i] ^= keys->name[i];
        seal->outer[i] ^= keys->name[i];
    }
    return seal;
}

void seal_destroy(struct seal *seal)
{
    if (seal != NULL) {
        OPENSSL_cleanse(seal, sizeof *seal);
        free(seal);
    }
}

uint32_t seal_key_id(const struct seal *seal)
{
    return seal->key_id;
}

void seal_copy_keys(const struct seal *seal, struct seal_keys *keys)
{
    *keys = seal->keys;
}

const uint8_t *seal_data_key(const struct seal *seal)
{
    return seal->keys.data;
}

/* HMAC spelled out (RFC 2104): with the padded key prepared it is two short digests. */
void seal_name(const struct seal *seal, const struct chunk_name *name, struct stored_name *stored)
{
    if (seal == NULL) {
        memcpy(stored->bytes, name->bytes, sizeof stored->bytes);
        return;
    }
    uint8_t block[HMAC_BLOCK + DIGEST_SIZE];
    memcpy(block, seal->inner, HMAC_BLOCK);
    memcpy(block + HMAC_BLOCK, name->bytes, DIGEST_SIZE);
    uint8_t inner[DIGEST_SIZE];
    digest_sha256(block, sizeof block, inner);
    memcpy(block, seal->outer, HMAC_BLOCK);
    memcpy(block + HMAC_BLOCK, inner, DIGEST_SIZE);
    digest_sha256(block, sizeof block, stored->bytes);
}

/* The key of one message, from the key and the first half of its nonce: CMAC in counter mode, two blocks. */
static void derive_key(EVP_CIPHER_CTX *context, const uint8_t key[SEAL_KEY_SIZE], const uint8_t *nonce,
                       uint8_t out[SEAL_KEY_SIZE])
{
    uint8_t subkey[BLOCK] = {0};
    uint8_t blocks[2 * BLOCK];
    int length;
    if (EVP_EncryptInit_ex2(context, ecb, key, NULL, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(context, 0) != 1 ||
        EVP_EncryptUpdate(context, subkey, &length, subkey, BLOCK) != 1) {
        seal_fail();
    }
    /* CMAC's first subkey: doubled in GF(2^128). */
    uint8_t carry = subkey[0] >> 7;
    for (size_t i = 0; i < BLOCK; i++) {
        uint8_t next = i + 1 < BLOCK ? subkey[i + 1] >> 7 : 0;
        subkey[i] = (uint8_t)(subkey[i] << 1 | next);
    }
    subkey[BLOCK - 1] ^= (uint8_t)(carry * 0x87);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t *block = blocks + (size_t)i * BLOCK;
        memcpy(block, (const uint8_t[]){0, (uint8_t)(i + 1), 'X', 0}, 4);
        memcpy(block + 4, nonce, GCM_NONCE_SIZE);
        for (size_t j = 0; j < BLOCK; j++) {
            block[j] ^= subkey[j];
        }
    }
    if (EVP_EncryptUpdate(context, out, &length, blocks, sizeof blocks) != 1) {
        seal_fail();
    }
}

void seal_encrypt(const uint8_t key[SEAL_KEY_SIZE], const void *associated, size_t associated_length,
                  const void *plain, size_t length, uint8_t *out)
{
    EVP_CIPHER_CTX *context = seal_context();
    uint8_t message_key[SEAL_KEY_SIZE];
    int done;
    identity_random(out, SEAL_NONCE_SIZE);
    derive_key(context, key, out, message_key);
    if (EVP_EncryptInit_ex2(context, gcm, message_key, out + GCM_NONCE_SIZE, NULL) != 1 ||
        EVP_EncryptUpdate(context, NULL, &done, associated, (int)associated_length) != 1 ||
        EVP_EncryptUpdate(context, out + SEAL_NONCE_SIZE, &done, plain, (int)length) != 1 ||
        EVP_EncryptFinal_ex(context, out + SEAL_NONCE_SIZE + length, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, out + SEAL_NONCE_SIZE + length) !=
            1) {
        seal_fail();
    }
    OPENSSL_cleanse(message_key, sizeof message_key);
}

int seal_decrypt(const uint8_t key[SEAL_KEY_SIZE], const void *associated, size_t associated_length,
                 uint8_t *sealed, size_t sealed_length, uint8_t **plain, size_t *plain_length)
{
    if (sealed_length < SEAL_OVERHEAD) {
        return -1;
    }
    EVP_CIPHER_CTX *context = seal_context();
    uint8_t message_key[SEAL_KEY_SIZE];
    size_t length = sealed_length - SEAL_OVERHEAD;
    uint8_t *text = sealed + SEAL_NONCE_SIZE;
    int done;
    derive_key(context, key, sealed, message_key);
    bool good = EVP_DecryptInit_ex2(context, gcm, message_key, sealed + GCM_NONCE_SIZE, NULL) == 1 &&
                EVP_DecryptUpdate(context, NULL, &done, associated, (int)associated_length) == 1 &&
                EVP_DecryptUpdate(context, text, &done, text, (int)length) == 1 &&
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, text + length) == 1 &&
                EVP_DecryptFinal_ex(context, text + length, &done) == 1;
    OPENSSL_cleanse(message_key, sizeof message_key);
    *plain = text;
    *plain_length = length;
    return good ? 0 : -1;
}
