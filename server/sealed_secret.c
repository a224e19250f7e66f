#include "server/sealed_secret.h"

#include "base/bytes.h"
#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/seal.h"
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const key_names[] = {[SEALED_NOTIFICATION] = "notify.key", [SEALED_FACTOR] = "factor.key"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of two that make a key, one does */

static int make_key(const char *path, uint8_t key[SEAL_KEY_SIZE], struct error *err)
{
    identity_random(key, SEAL_KEY_SIZE);
    return os_file_write_whole(path, key, SEAL_KEY_SIZE, 0600, err);
}

static int read_key(const char *data_directory, enum sealed_use use, bool make, uint8_t key[SEAL_KEY_SIZE],
                    struct error *err)
{
    char *path = os_path_join(data_directory, key_names[use]);
    int result;
    pthread_mutex_lock(&lock);
    if (make && !os_path_exists(path)) {
        result = make_key(path, key, err);
    } else {
        struct os_file *file = os_file_open(path, OS_FILE_READ, err);
        result = file != NULL ? os_file_read_at(file, 0, key, SEAL_KEY_SIZE, err) : -1;
        os_file_close(file);
    }
    pthread_mutex_unlock(&lock);
    free(path);
    return result;
}

int sealed_secret_make(const char *data_directory, enum sealed_use use, const char *id, const char *plain,
                       char **sealed, struct error *err)
{
    uint8_t key[SEAL_KEY_SIZE];
    uint8_t bytes[SEALED_SECRET_MAX + SEAL_OVERHEAD];
    size_t length = strlen(plain);
    if (length == 0) {
        *sealed = memory_copy_text("");
        return 0;
    }
    if (length > SEALED_SECRET_MAX) {
        return error_set(err, ERROR_REQUEST_INVALID, "A secret has %d bytes at most", SEALED_SECRET_MAX);
    }
    if (read_key(data_directory, use, true, key, err) != 0) {
        return -1;
    }
    seal_encrypt(key, id, strlen(id), plain, length, bytes);
    OPENSSL_cleanse(key, sizeof key);
    *sealed = memory_alloc(2 * (length + SEAL_OVERHEAD) + 1);
    bytes_to_hex(bytes, length + SEAL_OVERHEAD, *sealed);
    return 0;
}

int sealed_secret_open(const char *data_directory, enum sealed_use use, const char *id, const char *sealed,
                       char **plain, struct error *err)
{
    uint8_t key[SEAL_KEY_SIZE];
    uint8_t bytes[SEALED_SECRET_MAX + SEAL_OVERHEAD];
    uint8_t *opened = NULL;
    size_t length = strlen(sealed) / 2;
    *plain = NULL;
    if (length == 0) {
        *plain = memory_copy_text("");
        return 0;
    }
    if (length > sizeof bytes || bytes_from_hex(sealed, bytes, length) != 0) {
        return error_set(err, ERROR_SECRET_UNREADABLE, "A secret in the catalog is damaged");
    }
    if (read_key(data_directory, use, false, key, err) != 0) {
        return error_wrap(err, ERROR_SECRET_UNREADABLE, "%s/%s can't be read", data_directory,
                          key_names[use]);
    }
    int result = seal_decrypt(key, id, strlen(id), bytes, length, &opened, &length);
    OPENSSL_cleanse(key, sizeof key);
    if (result != 0) {
        return error_set(err, ERROR_SECRET_UNREADABLE, "A secret in the catalog does not open with %s/%s",
                         data_directory, key_names[use]);
    }
    *plain = memory_zalloc(length + 1);
    memcpy(*plain, opened, length);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return 0;
}

void sealed_secret_free(char *plain)
{
    if (plain != NULL) {
        OPENSSL_cleanse(plain, strlen(plain));
        free(plain);
    }
}
