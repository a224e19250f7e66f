#include "storage/superblock.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/memory.h"
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* scrypt with r = 8 and p = 1: 1 KiB of memory times N; 2^16 takes 64 MiB and a fraction of a second. What a
 * superblock asks for is bounded, or whoever can write one could take all memory. */
enum { COST_DEFAULT = 16, COST_MIN = 10, COST_MAX = 20, SCRYPT_R = 8, SCRYPT_P = 1 };
static const uint64_t scrypt_memory_max = (uint64_t)(128 * SCRYPT_R + 1) << COST_MAX;

static const char cipher_name[] = "XAES-256-GCM";
static const char *const kind_names[] = {"passphrase", "key file", "recovery key"};
static const char key_file_context[] = "holdfast store key";

static int parse_uuid(const char *text, uint8_t uuid[16])
{
    char digits[33];
    size_t count = 0;
    for (const char *c = text; *c != '\0' && count < 32; c++) {
        if (*c != '-') {
            digits[count++] = *c;
        }
    }
    digits[count] = '\0';
    return bytes_from_hex(digits, uuid, 16);
}

void superblock_new_id(struct superblock *superblock)
{
    identity_create(superblock->id);
    parse_uuid(superblock->id, superblock->uuid);
}

/* --- as JSON */

static json_t *slot_to_json(const struct superblock_slot *slot)
{
    char salt[2 * SUPERBLOCK_SALT_SIZE + 1];
    char wrapped[2 * SUPERBLOCK_WRAPPED_SIZE + 1];
    bytes_to_hex(slot->salt, sizeof slot->salt, salt);
    bytes_to_hex(slot->wrapped, sizeof slot->wrapped, wrapped);
    json_t *object = json_pack("{s:i, s:s, s:s, s:s}", "id", (int)slot->id, "kind", kind_names[slot->kind],
                               "salt", salt, "wrapped", wrapped);
    if (slot->kind == STORE_KEY_PASSPHRASE) {
        json_object_set_new(object, "scrypt_n", json_integer((json_int_t)1 << slot->cost));
        json_object_set_new(object, "scrypt_r", json_integer(SCRYPT_R));
        json_object_set_new(object, "scrypt_p", json_integer(SCRYPT_P));
    }
    return object;
}

static json_t *encryption_to_json(const struct superblock *superblock)
{
    if (!superblock->encrypted) {
        return json_null();
    }
    json_t *slots = json_array();
    for (size_t i = 0; i < STORE_KEYS_MAX; i++) {
        if (superblock->slots[i].id != 0) {
            json_array_append_new(slots, slot_to_json(&superblock->slots[i]));
        }
    }
    return json_pack("{s:s, s:i, s:o}", "cipher", cipher_name, "key", (int)superblock->key_id, "slots",
                     slots);
}

char *superblock_format(const struct superblock *superblock)
{
    json_t *root =
        json_pack("{s:i, s:s, s:i, s:o}", "holdfast_store", SUPERBLOCK_FORMAT, "id", superblock->id,
                  "chunk_size", (int)superblock->chunk_size, "encryption", encryption_to_json(superblock));
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    char *line = memory_format("%s\n", text);
    free(text);
    return line;
}

static bool parse_cost(const json_t *object, unsigned *cost)
{
    json_int_t n = json_integer_value(json_object_get(object, "scrypt_n"));
    for (*cost = COST_MIN; *cost <= COST_MAX; (*cost)++) {
        if (n == (json_int_t)1 << *cost) {
            return json_integer_value(json_object_get(object, "scrypt_r")) == SCRYPT_R &&
                   json_integer_value(json_object_get(object, "scrypt_p")) == SCRYPT_P;
        }
    }
    return false;
}

static bool parse_slot(const json_t *object, struct superblock_slot *slot)
{
    enum { KINDS = sizeof kind_names / sizeof kind_names[0] };
    const char *kind = json_string_value(json_object_get(object, "kind"));
    const char *salt = json_string_value(json_object_get(object, "salt"));
    const char *wrapped = json_string_value(json_object_get(object, "wrapped"));
    json_int_t id = json_integer_value(json_object_get(object, "id"));
    if (kind == NULL || salt == NULL || wrapped == NULL || id < 1 || id > 1000000 ||
        bytes_from_hex(salt, slot->salt, sizeof slot->salt) != 0 ||
        bytes_from_hex(wrapped, slot->wrapped, sizeof slot->wrapped) != 0) {
        return false;
    }
    slot->id = (unsigned)id;
    for (unsigned i = 0; i < KINDS; i++) {
        if (strcmp(kind, kind_names[i]) == 0) {
            slot->kind = (enum store_key_kind)i;
            return slot->kind != STORE_KEY_PASSPHRASE || parse_cost(object, &slot->cost);
        }
    }
    return false;
}

static bool parse_encryption(const json_t *object, struct superblock *superblock)
{
    if (json_is_null(object)) {
        return true;
    }
    const char *cipher = json_string_value(json_object_get(object, "cipher"));
    json_int_t key = json_integer_value(json_object_get(object, "key"));
    const json_t *slots = json_object_get(object, "slots");
    if (cipher == NULL || strcmp(cipher, cipher_name) != 0 || key < 1 || key > INT32_MAX ||
        json_array_size(slots) < 1 || json_array_size(slots) > STORE_KEYS_MAX) {
        return false;
    }
    superblock->encrypted = true;
    superblock->key_id = (uint32_t)key;
    for (size_t i = 0; i < json_array_size(slots); i++) {
        if (!parse_slot(json_array_get(slots, i), &superblock->slots[i])) {
            return false;
        }
    }
    return true;
}

static bool parse_root(const json_t *root, struct superblock *superblock)
{
    const char *id = json_string_value(json_object_get(root, "id"));
    json_int_t chunk_size = json_integer_value(json_object_get(root, "chunk_size"));
    if (id == NULL || !identity_is_valid(id) || parse_uuid(id, superblock->uuid) != 0 ||
        chunk_size < STORE_CHUNK_SIZE_MIN || chunk_size > STORE_CHUNK_SIZE_MAX ||
        (chunk_size & (chunk_size - 1)) != 0) {
        return false;
    }
    memcpy(superblock->id, id, sizeof superblock->id);
    superblock->chunk_size = (uint32_t)chunk_size;
    return parse_encryption(json_object_get(root, "encryption"), superblock);
}

int superblock_parse(const uint8_t *bytes, size_t length, const char *where, struct superblock *superblock,
                     struct error *err)
{
    *superblock = (struct superblock){0};
    json_t *root = json_loadb((const char *)bytes, length, 0, NULL);
    json_int_t format = json_integer_value(json_object_get(root, "holdfast_store"));
    int result = 0;
    if (root == NULL || format < 1) {
        result = error_set(err, ERROR_STORE_INVALID, "%s is not a store: its superblock is damaged", where);
    } else if (format != SUPERBLOCK_FORMAT) {
        error_set(err, ERROR_STORE_INVALID, "Store %s is of format %lld; this program knows format %d", where,
                  (long long)format, SUPERBLOCK_FORMAT);
        result = -2;
    } else if (!parse_root(root, superblock)) {
        result = error_set(err, ERROR_STORE_INVALID, "The superblock of store %s is damaged", where);
    }
    json_decref(root);
    return result;
}

/* --- slots */

/* What is wrapped belongs to this store and this key: a slot of another can't be put in its place. */
static void wrap_context(const struct superblock *superblock, uint8_t out[24])
{
    memcpy(out, "HFK1", 4);
    memcpy(out + 4, superblock->uuid, 16);
    bytes_put_u32(out + 20, superblock->key_id);
}

/* The key that wraps, from a secret. Key files and recovery keys are random: no stretching is needed, HKDF
 * (RFC 5869) with one block of output is enough. */
static int derive(const struct superblock_slot *slot, const struct store_secret *secret,
                  uint8_t out[SEAL_KEY_SIZE])
{
    if (slot->kind == STORE_KEY_PASSPHRASE) {
        return EVP_PBE_scrypt(secret->bytes, secret->length, slot->salt, sizeof slot->salt,
                              (uint64_t)1 << slot->cost, SCRYPT_R, SCRYPT_P, scrypt_memory_max, out,
                              SEAL_KEY_SIZE) == 1
                   ? 0
                   : -1;
    }
    uint8_t decoded[SEAL_KEY_SIZE];
    uint8_t extracted[DIGEST_SIZE];
    uint8_t info[sizeof key_file_context];
    const void *bytes = secret->bytes;
    size_t length = secret->length;
    if (slot->kind == STORE_KEY_RECOVERY) {
        if (store_recovery_decode(secret->bytes, secret->length, decoded) != 0) {
            return -1;
        }
        bytes = decoded;
        length = sizeof decoded;
    }
    digest_hmac_sha256(slot->salt, sizeof slot->salt, bytes, length, extracted);
    memcpy(info, key_file_context, sizeof info - 1);
    info[sizeof info - 1] = 1;
    digest_hmac_sha256(extracted, sizeof extracted, info, sizeof info, out);
    OPENSSL_cleanse(decoded, sizeof decoded);
    OPENSSL_cleanse(extracted, sizeof extracted);
    return 0;
}

static int check_secret(const struct store_secret *secret, struct error *err)
{
    size_t least = secret->kind == STORE_KEY_FILE ? STORE_KEY_FILE_MIN : 1;
    size_t most = secret->kind == STORE_KEY_FILE ? STORE_KEY_FILE_MAX : STORE_PASSPHRASE_MAX;
    if (secret->length < least || secret->length > most) {
        return error_set(err, ERROR_REQUEST_INVALID, "A %s has %zu to %zu bytes", kind_names[secret->kind],
                         least, most);
    }
    return 0;
}

int superblock_wrap(struct superblock *superblock, const struct store_secret *secret, unsigned cost,
                    const struct seal_keys *keys, unsigned *slot_id, struct error *err)
{
    struct superblock_slot *slot = NULL;
    uint8_t context[24];
    uint8_t key[SEAL_KEY_SIZE];
    if (check_secret(secret, err) != 0) {
        return -1;
    }
    *slot_id = 1;
    for (size_t i = 0; i < STORE_KEYS_MAX; i++) {
        if (superblock->slots[i].id >= *slot_id) {
            *slot_id = superblock->slots[i].id + 1;
        }
        slot = slot == NULL && superblock->slots[i].id == 0 ? &superblock->slots[i] : slot;
    }
    if (slot == NULL) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "A store has %d keys at most", STORE_KEYS_MAX);
    }
    slot->kind = secret->kind;
    slot->cost = cost != 0 ? cost : COST_DEFAULT;
    if (slot->cost < COST_MIN || slot->cost > COST_MAX) {
        return error_set(err, ERROR_REQUEST_INVALID, "The cost of a passphrase is %d to %d", COST_MIN,
                         COST_MAX);
    }
    identity_random(slot->salt, sizeof slot->salt);
    if (derive(slot, secret, key) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "This %s is not valid", kind_names[secret->kind]);
    }
    wrap_context(superblock, context);
    seal_encrypt(key, context, sizeof context, keys, sizeof *keys, slot->wrapped);
    OPENSSL_cleanse(key, sizeof key);
    slot->id = *slot_id;
    return 0;
}

static bool slot_opens(const struct superblock *superblock, const struct superblock_slot *slot,
                       const struct store_secret *secret, struct seal_keys *keys)
{
    uint8_t context[24];
    uint8_t key[SEAL_KEY_SIZE];
    uint8_t wrapped[SUPERBLOCK_WRAPPED_SIZE];
    uint8_t *plain;
    size_t length;
    if (derive(slot, secret, key) != 0) {
        return false;
    }
    wrap_context(superblock, context);
    memcpy(wrapped, slot->wrapped, sizeof wrapped);
    bool good = seal_decrypt(key, context, sizeof context, wrapped, sizeof wrapped, &plain, &length) == 0;
    if (good) {
        memcpy(keys, plain, sizeof *keys);
    }
    OPENSSL_cleanse(wrapped, sizeof wrapped);
    OPENSSL_cleanse(key, sizeof key);
    return good;
}

int superblock_unwrap(const struct superblock *superblock, const struct store_secret *secret,
                      struct seal_keys *keys, unsigned *slot, struct error *err)
{
    for (size_t i = 0; i < STORE_KEYS_MAX; i++) {
        const struct superblock_slot *candidate = &superblock->slots[i];
        if (candidate->id != 0 && candidate->kind == secret->kind &&
            slot_opens(superblock, candidate, secret, keys)) {
            *slot = candidate->id;
            return 0;
        }
    }
    return error_set(err, ERROR_STORE_KEY_WRONG, "This %s does not open store %s", kind_names[secret->kind],
                     superblock->id);
}
