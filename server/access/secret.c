#include "server/access/secret.h"

#include "base/bytes.h"
#include "base/identity.h"
#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 32 MiB and three passes: what the OWASP Password Storage Cheat Sheet asks for with this much memory. Read
 * hashes are bounded by what a later version may write. */
enum { COST = 15, R = 8, P = 3, COST_MIN = 10, COST_MAX = 20, R_MAX = 16, P_MAX = 16, AT_ONCE = 2 };
enum { SALT_SIZE = 16, HASH_SIZE = 32 };
static const uint64_t memory_max = (uint64_t)(128 * R_MAX + 1) << COST_MAX;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards running */
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static unsigned running;

int secret_scrypt(const char *password, const void *salt, size_t salt_length, unsigned cost, unsigned r,
                  unsigned p, uint8_t *out, size_t length)
{
    pthread_mutex_lock(&lock);
    while (running == AT_ONCE) {
        pthread_cond_wait(&ended, &lock);
    }
    running++;
    pthread_mutex_unlock(&lock);
    int done = EVP_PBE_scrypt(password, strlen(password), salt, salt_length, (uint64_t)1 << cost, r, p,
                              memory_max, out, length);
    pthread_mutex_lock(&lock);
    running--;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
    return done == 1 ? 0 : -1;
}

void secret_hash_password(const char *password, char out[SECRET_HASH_SIZE])
{
    uint8_t salt[SALT_SIZE];
    uint8_t hash[HASH_SIZE] = {0};
    char salt_text[2 * SALT_SIZE + 1];
    char hash_text[2 * HASH_SIZE + 1];
    identity_random(salt, sizeof salt);
    if (secret_scrypt(password, salt, sizeof salt, COST, R, P, hash, sizeof hash) != 0) {
        out[0] = '\0'; /* no password then */
        return;
    }
    bytes_to_hex(salt, sizeof salt, salt_text);
    bytes_to_hex(hash, sizeof hash, hash_text);
    snprintf(out, SECRET_HASH_SIZE, "scrypt$%d$%d$%d$%s$%s", COST, R, P, salt_text, hash_text);
    OPENSSL_cleanse(hash, sizeof hash);
}

struct parsed {
    unsigned cost;
    unsigned r;
    unsigned p;
    uint8_t salt[SALT_SIZE];
    uint8_t hash[HASH_SIZE];
};

/* A decimal number and the '$' behind it. */
static bool parse_number(const char **text, unsigned minimum, unsigned maximum, unsigned *value)
{
    char *end;
    unsigned long number = strtoul(*text, &end, 10);
    bool valid = isdigit((unsigned char)**text) && *end == '$' && number >= minimum && number <= maximum;
    *value = (unsigned)number;
    *text = valid ? end + 1 : *text;
    return valid;
}

/* Hexadecimal, and what stands behind it. */
static bool parse_bytes(const char **text, uint8_t *out, size_t length, char behind)
{
    char hex[2 * HASH_SIZE + 1];
    bool valid = strlen(*text) >= 2 * length && (*text)[2 * length] == behind;
    if (!valid) {
        return false;
    }
    memcpy(hex, *text, 2 * length);
    hex[2 * length] = '\0';
    *text += 2 * length + (behind != '\0');
    return bytes_from_hex(hex, out, length) == 0;
}

static bool parse_hash(const char *text, struct parsed *parsed)
{
    static const char scheme[] = "scrypt$";
    if (text == NULL || strncmp(text, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    text += sizeof scheme - 1;
    return parse_number(&text, COST_MIN, COST_MAX, &parsed->cost) &&
           parse_number(&text, 1, R_MAX, &parsed->r) && parse_number(&text, 1, P_MAX, &parsed->p) &&
           parse_bytes(&text, parsed->salt, SALT_SIZE, '$') &&
           parse_bytes(&text, parsed->hash, HASH_SIZE, '\0');
}

bool secret_check_password(const char *password, const char *hash)
{
    struct parsed parsed = {.cost = COST, .r = R, .p = P};
    uint8_t got[HASH_SIZE] = {0};
    bool known = parse_hash(hash, &parsed);
    if (!known) {
        parsed = (struct parsed){.cost = COST, .r = R, .p = P};
    }
    bool hashed = secret_scrypt(password, parsed.salt, SALT_SIZE, parsed.cost, parsed.r, parsed.p, got,
                                sizeof got) == 0;
    bool same = CRYPTO_memcmp(got, parsed.hash, HASH_SIZE) == 0;
    OPENSSL_cleanse(got, sizeof got);
    return known && hashed && same;
}

void secret_make_token(const char *prefix, char out[SECRET_TOKEN_SIZE])
{
    uint8_t bytes[HASH_SIZE];
    char text[2 * HASH_SIZE + 1];
    identity_random(bytes, sizeof bytes);
    bytes_to_hex(bytes, sizeof bytes, text);
    snprintf(out, SECRET_TOKEN_SIZE, "%s%s", prefix, text);
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(text, sizeof text);
}

void secret_digest(const char *secret, char out[SECRET_DIGEST_SIZE])
{
    uint8_t digest[DIGEST_SIZE];
    digest_sha256(secret, strlen(secret), digest);
    bytes_to_hex(digest, sizeof digest, out);
}

bool secret_equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    return length == strlen(b) && CRYPTO_memcmp(a, b, length) == 0;
}

/* --- base 32 */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

void secret_base32_encode(const uint8_t *bytes, size_t length, char *out)
{
    for (size_t i = 0; i + 5 <= length; i += 5) {
        uint64_t value = 0;
        for (size_t j = 0; j < 5; j++) {
            value = value << 8 | bytes[i + j];
        }
        for (int shift = 35; shift >= 0; shift -= 5) {
            *out++ = alphabet[value >> shift & 31];
        }
    }
    *out = '\0';
}

int secret_base32_decode(const char *text, uint8_t *out, size_t length)
{
    if (strlen(text) != length / 5 * 8) {
        return -1;
    }
    for (size_t i = 0; i + 5 <= length; i += 5) {
        uint64_t value = 0;
        for (int j = 0; j < 8; j++) {
            const char *place = strchr(alphabet, *text++);
            if (place == NULL) {
                return -1;
            }
            value = value << 5 | (uint64_t)(place - alphabet);
        }
        for (size_t j = 0; j < 5; j++) {
            out[i + j] = (uint8_t)(value >> (32 - 8 * j));
        }
    }
    return 0;
}

/* --- recovery codes: 16 characters of base 32, in fours */

enum { CODE_BYTES = 10, CODE_CHARACTERS = 16, CODE_GROUP = 4 };

bool secret_read_recovery_code(const char *typed, char out[SECRET_RECOVERY_SIZE])
{
    size_t count = 0;
    for (; *typed != '\0'; typed++) {
        int upper = toupper((unsigned char)*typed);
        if (*typed == '-' || *typed == ' ') {
            continue;
        }
        if (count == CODE_CHARACTERS || strchr(alphabet, upper) == NULL) {
            return false;
        }
        if (count > 0 && count % CODE_GROUP == 0) {
            *out++ = '-';
        }
        *out++ = (char)tolower(upper);
        count++;
    }
    *out = '\0';
    return count == CODE_CHARACTERS;
}

void secret_make_recovery_code(char out[SECRET_RECOVERY_SIZE])
{
    uint8_t bytes[CODE_BYTES];
    char text[CODE_CHARACTERS + 1];
    identity_random(bytes, sizeof bytes);
    secret_base32_encode(bytes, sizeof bytes, text);
    secret_read_recovery_code(text, out);
}
