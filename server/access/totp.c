#include "server/access/totp.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

enum { SHA1_SIZE = 20, COUNTER_SIZE = 8, MODULUS = 1000000 };

int64_t totp_step(int64_t wall_ms)
{
    return wall_ms / (TOTP_STEP_S * 1000);
}

uint32_t totp_code(const uint8_t key[TOTP_KEY_SIZE], int64_t step)
{
    uint8_t counter[COUNTER_SIZE];
    uint8_t hash[SHA1_SIZE] = {0};
    unsigned length = sizeof hash;
    for (size_t i = 0; i < sizeof counter; i++) {
        counter[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
    }
    HMAC(EVP_sha1(), key, TOTP_KEY_SIZE, counter, sizeof counter, hash, &length);
    const uint8_t *at = hash + (hash[SHA1_SIZE - 1] & 15); /* "dynamic truncation", RFC 4226, 5.3 */
    uint32_t number =
        (uint32_t)(at[0] & 127) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
    OPENSSL_cleanse(hash, sizeof hash);
    return number % MODULUS;
}

bool totp_check(const uint8_t key[TOTP_KEY_SIZE], const char *code, int64_t wall_ms, int64_t last_step,
                int64_t *step)
{
    bool found = false;
    if (strlen(code) != TOTP_DIGITS) {
        return false;
    }
    for (int64_t one = totp_step(wall_ms) - 1; one <= totp_step(wall_ms) + 1; one++) {
        char text[16];
        snprintf(text, sizeof text, "%06u", totp_code(key, one));
        if (CRYPTO_memcmp(text, code, TOTP_DIGITS) == 0 && one > last_step) {
            *step = one;
            found = true;
        }
    }
    return found;
}
