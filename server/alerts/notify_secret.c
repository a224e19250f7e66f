#include "server/alerts/notify_secret.h"

#include "base/bytes.h"
#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/seal.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static int make_key(const char *path, uint8_t key[SEAL_KEY_SIZE], struct error *err)
{
    identity_random(key, SEAL_KEY_SIZE);
    return os_file_write_whole(path, key, SEAL_KEY_SIZE, 0600, err);
}

static int read_key(const char *data_directory, bool make, uint8_t key[SEAL_KEY_SIZE], struct error *err)
{
    char *path = os_path_join(data_directory, "notify.key");
    int result;
    if (make && !os_path_exists(path)) {
        result = make_key(path, key, err);
    } else {
        struct os_file *file = os_file_open(path, OS_FILE_READ, err);
        result = file != NULL ? os_file_read_at(file, 0, key, SEAL_KEY_SIZE, err) : -1;
        os_file_close(file);
    }
    free(path);
    return result;
}

int notify_secret_seal(const char *data_directory, const char *id, const char *plain, char **sealed,
                       struct error *err)
{
    uint8_t key[SEAL_KEY_SIZE];
    uint8_t bytes[NOTIFY_SECRET_MAX + SEAL_OVERHEAD];
    size_t length = strlen(plain);
    if (length == 0) {
        *sealed = memory_copy_text("");
        return 0;
    }
    if (length > NOTIFY_SECRET_MAX) {
        return error_set(err, ERROR_REQUEST_INVALID, "A secret has %d bytes at most", NOTIFY_SECRET_MAX);
    }
    if (read_key(data_directory, true, key, err) != 0) {
        return -1;
    }
    seal_encrypt(key, id, strlen(id), plain, length, bytes);
    OPENSSL_cleanse(key, sizeof key);
    *sealed = memory_alloc(2 * (length + SEAL_OVERHEAD) + 1);
    bytes_to_hex(bytes, length + SEAL_OVERHEAD, *sealed);
    return 0;
}

int notify_secret_open(const char *data_directory, const char *id, const char *sealed, char **plain,
                       struct error *err)
{
    uint8_t key[SEAL_KEY_SIZE];
    uint8_t bytes[NOTIFY_SECRET_MAX + SEAL_OVERHEAD];
    uint8_t *opened = NULL;
    size_t length = strlen(sealed) / 2;
    *plain = NULL;
    if (length == 0) {
        *plain = memory_copy_text("");
        return 0;
    }
    if (length > sizeof bytes || bytes_from_hex(sealed, bytes, length) != 0) {
        return error_set(err, ERROR_NOTIFY_FAILED, "The stored secret of the notification is damaged");
    }
    if (read_key(data_directory, false, key, err) != 0) {
        return -1;
    }
    int result = seal_decrypt(key, id, strlen(id), bytes, length, &opened, &length);
    OPENSSL_cleanse(key, sizeof key);
    if (result != 0) {
        return error_set(err, ERROR_NOTIFY_FAILED,
                         "The stored secret of the notification does not open with notify.key; set it anew");
    }
    *plain = memory_zalloc(length + 1);
    memcpy(*plain, opened, length);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return 0;
}

void notify_secret_free(char *plain)
{
    if (plain != NULL) {
        OPENSSL_cleanse(plain, strlen(plain));
        free(plain);
    }
}
