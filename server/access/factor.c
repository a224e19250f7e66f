#include "server/access/factor.h"

#include "base/log.h"
#include "server/access/secret.h"
#include "server/catalog/catalog_access.h"
#include "server/sealed_secret.h"
#include <stdlib.h>
#include <string.h>

/* In the settings: "plain" (set by the migration), then "traces", then "sealed". */
static const char setting_name[] = "factor_secrets";

int factor_seal(const char *data_directory, const char *user_id, const char *secret, struct arena *arena,
                const char **sealed, struct error *err)
{
    char *text;
    if (sealed_secret_make(data_directory, SEALED_FACTOR, user_id, secret, &text, err) != 0) {
        return -1;
    }
    *sealed = arena_text(arena, text);
    free(text);
    return 0;
}

int factor_open(const char *data_directory, const char *user_id, const char *sealed,
                uint8_t key[TOTP_KEY_SIZE], struct error *err)
{
    char *text;
    if (sealed_secret_open(data_directory, SEALED_FACTOR, user_id, sealed, &text, err) != 0) {
        return -1;
    }
    int result = secret_base32_decode(text, key, TOTP_KEY_SIZE);
    sealed_secret_free(text);
    return result == 0
               ? 0
               : error_set(err, ERROR_SECRET_UNREADABLE, "The second factor in the catalog is damaged");
}

/* --- catalogs from before
 * ---------------------------------------------------------------------------------------- */

static int seal_all(struct catalog *catalog, const char *data_directory, struct arena *arena,
                    struct error *err)
{
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    const struct catalog_user *users;
    size_t count;
    int result;
    do {
        result = catalog_user_list(catalog, arena, &page, &users, &count, err);
        for (size_t i = 0; i < count && result == 0; i++) {
            const char *sealed;
            page.after = users[i].number;
            if (users[i].totp_secret[0] != '\0') {
                result =
                    factor_seal(data_directory, users[i].id, users[i].totp_secret, arena, &sealed, err) != 0
                        ? -1
                        : catalog_user_set_totp_secret(catalog, users[i].id, sealed, err);
            }
        }
    } while (result == 0 && count == CATALOG_PAGE_MAX);
    return result;
}

static int seal_in_one(struct catalog *catalog, const char *data_directory, struct arena *arena,
                       struct error *err)
{
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    if (seal_all(catalog, data_directory, arena, err) != 0 ||
        catalog_setting_set(catalog, setting_name, "traces", err) != 0) {
        catalog_roll_back(catalog);
        return -1;
    }
    return catalog_commit(catalog, err);
}

/* What was plain is in free places of the file and in the log before it. A disk that is too full for this
 * stops no server: it is tried at the next start. */
static int remove_traces(struct catalog *catalog, struct error *err)
{
    struct error why;
    if (catalog_rewrite(catalog, &why) != 0) {
        log_error("old second factors still leave traces in the catalog's file", &why);
        return 0;
    }
    log_event(LOG_INFO, "second factors sealed", "key=factor.key");
    return catalog_setting_set(catalog, setting_name, "sealed", err);
}

int factor_take_over(struct catalog *catalog, const char *data_directory, struct error *err)
{
    const char *state;
    struct arena *arena = arena_create();
    int result = catalog_setting_get(catalog, arena, setting_name, &state, err);
    bool plain = result == 0 && state != NULL && strcmp(state, "plain") == 0;
    bool traces = plain || (result == 0 && state != NULL && strcmp(state, "traces") == 0);
    if (plain) {
        result = seal_in_one(catalog, data_directory, arena, err);
    }
    if (traces && result == 0) {
        result = remove_traces(catalog, err);
    }
    arena_destroy(arena);
    return result;
}
