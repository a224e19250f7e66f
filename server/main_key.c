#include "server/main_key.h"

#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {[STORE_KEY_PASSPHRASE] = "passphrase",
                                         [STORE_KEY_FILE] = "key file",
                                         [STORE_KEY_RECOVERY] = "recovery key"};

static int list(struct store *store)
{
    struct store_key_slot slots[STORE_KEYS_MAX];
    size_t count = store_key_list(store, slots);
    for (size_t i = 0; i < count; i++) {
        printf("%u  %s\n", slots[i].id, kind_names[slots[i].kind]);
    }
    if (count == 0) {
        printf("The store is not encrypted.\n");
    }
    return 0;
}

static int add(struct store *store, const struct store_secret *secret, struct error *err)
{
    unsigned slot;
    if (secret == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "Name the new --new-passphrase-file or --new-key-file");
    }
    if (store_key_add(store, secret, &slot, err) != 0) {
        return -1;
    }
    printf("The store opens with slot %u, too.\n", slot);
    return 0;
}

static int change(struct store *store, const struct store_secret *old, const struct store_secret *secret,
                  struct error *err)
{
    if (secret == NULL || old == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "Name the new --new-passphrase-file or --new-key-file");
    }
    if (store_key_change(store, old, secret, err) != 0) {
        return -1;
    }
    printf("The secret is changed; nothing was rewritten. The old one opens the store no more.\n");
    return 0;
}

static int make_recovery(struct store *store, struct error *err)
{
    char text[STORE_RECOVERY_TEXT_SIZE];
    unsigned slot;
    if (store_key_add_recovery(store, text, &slot, err) != 0) {
        return -1;
    }
    printf(
        "Recovery key (slot %u), shown only now. Write it down and keep it apart from the store:\n\n  %s\n",
        slot, text);
    return 0;
}

static int remove_slot(struct store *store, const char *text, struct error *err)
{
    char *end;
    unsigned long slot = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || slot > STORE_KEYS_MAX) {
        return error_set(err, ERROR_REQUEST_INVALID, "%s is no slot; see holdfastd key list", text);
    }
    if (store_key_remove(store, (unsigned)slot, err) != 0) {
        return -1;
    }
    printf("Slot %lu opens the store no more.\n", slot);
    return 0;
}

static int run_with(struct store *store, const struct key_arguments *arguments,
                    const struct store_secret *old, const struct store_secret *secret, struct error *err)
{
    const char *command = arguments->word_count > 0 ? arguments->words[0] : "";
    if (strcmp(command, "remove") == 0 && arguments->word_count == 2) {
        return remove_slot(store, arguments->words[1], err);
    }
    if (arguments->word_count == 1) {
        if (strcmp(command, "list") == 0) {
            return list(store);
        }
        if (strcmp(command, "add") == 0) {
            return add(store, secret, err);
        }
        if (strcmp(command, "change") == 0) {
            return change(store, old, secret, err);
        }
        if (strcmp(command, "recovery") == 0) {
            return make_recovery(store, err);
        }
    }
    return error_set(err, ERROR_REQUEST_INVALID, "key takes list, add, change, recovery, or remove SLOT");
}

int run_key(const struct key_arguments *arguments, struct error *err)
{
    struct store_secret_bytes old = {.bytes = NULL};
    struct store_secret_bytes secret = {.bytes = NULL};
    struct store *store =
        server_open_store(arguments->data_directory, arguments->config, &arguments->with, &old, err);
    int result = store != NULL && store_secret_read(&arguments->new_secret, &secret, err) == 0
                     ? run_with(store, arguments, store_secret_of(&old), store_secret_of(&secret), err)
                     : -1;
    store_close(store);
    store_secret_clear(&old);
    store_secret_clear(&secret);
    return result == 0 ? EXIT_STATUS_DONE : (int)error_code_exit_status(err->code);
}
