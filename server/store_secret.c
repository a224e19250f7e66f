#include "server/store_secret.h"

#include "base/os_file.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

int store_secret_read(const struct store_secret_file *file, struct store_secret_bytes *secret,
                      struct error *err)
{
    uint8_t *bytes;
    size_t length;
    *secret = (struct store_secret_bytes){.secret = {.kind = file->kind}};
    if (file->path == NULL) {
        return 0;
    }
    if (os_file_read_whole(file->path, STORE_KEY_FILE_MAX, &bytes, &length, err) != 0) {
        return error_wrap(err, ERROR_CONFIG_INVALID, "The store's key can't be read from %s", file->path);
    }
    secret->bytes = bytes;
    if (file->kind != STORE_KEY_FILE) {
        length = strcspn((const char *)bytes, "\r\n");
    }
    if (length == 0) {
        store_secret_clear(secret);
        return error_set(err, ERROR_CONFIG_INVALID, "There is no key in %s", file->path);
    }
    secret->secret.bytes = bytes;
    secret->secret.length = length;
    return 0;
}

void store_secret_clear(struct store_secret_bytes *secret)
{
    if (secret->bytes != NULL) {
        OPENSSL_cleanse(secret->bytes, secret->secret.length);
        free(secret->bytes);
    }
    *secret = (struct store_secret_bytes){.bytes = NULL};
}

const struct store_secret *store_secret_of(const struct store_secret_bytes *secret)
{
    return secret->bytes != NULL ? &secret->secret : NULL;
}
