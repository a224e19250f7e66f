#include "storage/keys.h"

#include "base/memory.h"
#include "storage/store_internal.h"
#include <ctype.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* --- recovery keys as text: 256 random bits and 24 of their digest in Crockford's base 32, so that a
 * mistyped one is told from a wrong one. 280 bits are 56 characters. */

enum {
    RECOVERY_CHECK = 3,
    RECOVERY_BYTES = SEAL_KEY_SIZE + RECOVERY_CHECK,
    RECOVERY_CHARACTERS = 56,
    GROUP = 7
};
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static void recovery_check(const uint8_t key[SEAL_KEY_SIZE], uint8_t check[RECOVERY_CHECK])
{
    struct chunk_name digest;
    chunk_name_of(key, SEAL_KEY_SIZE, &digest);
    memcpy(check, digest.bytes, RECOVERY_CHECK);
}

static void recovery_encode(const uint8_t key[SEAL_KEY_SIZE], char text[STORE_RECOVERY_TEXT_SIZE])
{
    uint8_t bytes[RECOVERY_BYTES];
    char *next = text;
    memcpy(bytes, key, SEAL_KEY_SIZE);
    recovery_check(key, bytes + SEAL_KEY_SIZE);
    for (size_t i = 0; i < RECOVERY_CHARACTERS; i++) {
        unsigned value = 0;
        for (size_t bit = 5 * i; bit < 5 * i + 5; bit++) {
            value = value << 1 | ((unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1u);
        }
        if (i > 0 && i % GROUP == 0) {
            *next++ = '-';
        }
        *next++ = alphabet[value];
    }
    *next = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
}

/* The digit that a character stands for; the look-alikes are accepted. */
static int recovery_digit(char c)
{
    char upper = (char)toupper((unsigned char)c);
    upper = upper == 'O' ? '0' : upper == 'I' || upper == 'L' ? '1' : upper;
    const char *place = upper != '\0' ? strchr(alphabet, upper) : NULL;
    return place != NULL ? (int)(place - alphabet) : -1;
}

int store_recovery_decode(const char *text, size_t length, uint8_t key[SEAL_KEY_SIZE])
{
    uint8_t bytes[RECOVERY_BYTES] = {0};
    uint8_t check[RECOVERY_CHECK];
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        int digit = recovery_digit(text[i]);
        if (text[i] == '-' || isspace((unsigned char)text[i])) {
            continue;
        }
        if (digit < 0 || count == RECOVERY_CHARACTERS) {
            return -1;
        }
        for (size_t bit = 0; bit < 5; bit++) {
            size_t at = 5 * count + bit;
            bytes[at / 8] = (uint8_t)(bytes[at / 8] | ((unsigned)digit >> (4 - bit) & 1u) << (7 - at % 8));
        }
        count++;
    }
    recovery_check(bytes, check);
    bool good = count == RECOVERY_CHARACTERS && memcmp(check, bytes + SEAL_KEY_SIZE, sizeof check) == 0;
    memcpy(key, bytes, SEAL_KEY_SIZE);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return good ? 0 : -1;
}

/* --- slots of an open store. The superblock is changed in a copy, which takes its place when it is durable.
 */

static int require_encryption(const struct store *store, struct error *err)
{
    return store->seal != NULL ? 0
                               : error_set(err, ERROR_REQUEST_INVALID,
                                           "Store %s is not encrypted; that is chosen when a store is made",
                                           store->directory);
}

static int add_slot(struct superblock *superblock, const struct store *store,
                    const struct store_secret *secret, unsigned *slot, struct error *err)
{
    struct seal_keys keys;
    seal_copy_keys(store->seal, &keys);
    int result = superblock_wrap(superblock, secret, store->scrypt_cost, &keys, slot, err);
    OPENSSL_cleanse(&keys, sizeof keys);
    return result;
}

static void drop_slot(struct superblock *superblock, unsigned slot)
{
    for (size_t i = 0; i < STORE_KEYS_MAX; i++) {
        if (superblock->slots[i].id == slot) {
            superblock->slots[i] = (struct superblock_slot){0};
        }
    }
}

static int write_superblock(struct store *store, const struct superblock *superblock, struct error *err)
{
    if (store_write_superblock(store->backend, superblock, err) != 0) {
        return -1;
    }
    store->superblock = *superblock;
    return 0;
}

int store_key_add(struct store *store, const struct store_secret *secret, unsigned *slot, struct error *err)
{
    if (require_encryption(store, err) != 0) {
        return -1;
    }
    pthread_mutex_lock(&store->keys_lock);
    struct superblock changed = store->superblock;
    int result = add_slot(&changed, store, secret, slot, err);
    if (result == 0) {
        result = write_superblock(store, &changed, err);
    }
    pthread_mutex_unlock(&store->keys_lock);
    return result;
}

int store_key_add_recovery(struct store *store, char text[STORE_RECOVERY_TEXT_SIZE], unsigned *slot,
                           struct error *err)
{
    uint8_t key[SEAL_KEY_SIZE];
    identity_random(key, sizeof key);
    recovery_encode(key, text);
    OPENSSL_cleanse(key, sizeof key);
    struct store_secret secret = {.kind = STORE_KEY_RECOVERY, .bytes = text, .length = strlen(text)};
    int result = store_key_add(store, &secret, slot, err);
    if (result != 0) {
        OPENSSL_cleanse(text, STORE_RECOVERY_TEXT_SIZE);
    }
    return result;
}

int store_key_change(struct store *store, const struct store_secret *old, const struct store_secret *secret,
                     struct error *err)
{
    unsigned old_slot;
    unsigned new_slot;
    struct seal_keys keys;
    if (require_encryption(store, err) != 0) {
        return -1;
    }
    pthread_mutex_lock(&store->keys_lock);
    struct superblock changed = store->superblock;
    int result = superblock_unwrap(&changed, old, &keys, &old_slot, err);
    if (result == 0) {
        OPENSSL_cleanse(&keys, sizeof keys);
        drop_slot(&changed, old_slot);
        result = add_slot(&changed, store, secret, &new_slot, err);
    }
    if (result == 0) {
        result = write_superblock(store, &changed, err);
    }
    pthread_mutex_unlock(&store->keys_lock);
    return result;
}

int store_key_remove(struct store *store, unsigned slot, struct error *err)
{
    struct store_key_slot slots[STORE_KEYS_MAX];
    bool known = false;
    size_t count = store_key_list(store, slots);
    for (size_t i = 0; i < count; i++) {
        known = known || slots[i].id == slot;
    }
    if (!known) {
        return error_set(err, ERROR_REQUEST_INVALID, "Store %s has no key %u", store->directory, slot);
    }
    pthread_mutex_lock(&store->keys_lock);
    struct superblock changed = store->superblock;
    drop_slot(&changed, slot);
    bool left = false;
    for (size_t i = 0; i < STORE_KEYS_MAX; i++) {
        left = left || changed.slots[i].id != 0;
    }
    int result =
        left ? write_superblock(store, &changed, err)
             : error_set(err, ERROR_REQUEST_INVALID, "Key %u is the last of store %s and can't be removed",
                         slot, store->directory);
    pthread_mutex_unlock(&store->keys_lock);
    return result;
}

size_t store_key_list(struct store *store, struct store_key_slot slots[STORE_KEYS_MAX])
{
    size_t count = 0;
    pthread_mutex_lock(&store->keys_lock);
    for (size_t i = 0; i < STORE_KEYS_MAX; i++) {
        const struct superblock_slot *slot = &store->superblock.slots[i];
        if (slot->id != 0) {
            slots[count++] = (struct store_key_slot){.id = slot->id, .kind = slot->kind};
        }
    }
    pthread_mutex_unlock(&store->keys_lock);
    return count;
}
