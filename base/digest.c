#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Fetching the algorithm costs more than naming a small chunk, and contexts are not shared between threads:
 * the one is fetched once a process, the other made once a thread and freed with it. */
static EVP_MD *sha256;
static pthread_key_t context_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void digest_fail(void)
{
    fputs("SHA-256 is not available\n", stderr);
    abort();
}

static void context_free(void *context)
{
    EVP_MD_CTX_free(context);
}

static void digest_start(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (sha256 == NULL || pthread_key_create(&context_key, context_free) != 0) {
        digest_fail();
    }
}

static EVP_MD_CTX *digest_context(void)
{
    pthread_once(&once, digest_start);
    EVP_MD_CTX *context = pthread_getspecific(context_key);
    if (context == NULL) {
        context = EVP_MD_CTX_new();
        if (context == NULL || pthread_setspecific(context_key, context) != 0) {
            digest_fail();
        }
    }
    return context;
}

void digest_sha256(const void *bytes, size_t length, uint8_t out[DIGEST_SIZE])
{
    EVP_MD_CTX *context = digest_context();
    if (EVP_DigestInit_ex2(context, sha256, NULL) != 1 || EVP_DigestUpdate(context, bytes, length) != 1 ||
        EVP_DigestFinal_ex(context, out, NULL) != 1) {
        digest_fail();
    }
}

void digest_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                        uint8_t out[DIGEST_SIZE])
{
    unsigned int size = DIGEST_SIZE;
    if (HMAC(EVP_sha256(), key, (int)key_length, bytes, length, out, &size) == NULL) {
        digest_fail();
    }
}
