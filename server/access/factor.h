/*
 * What the codes of second factors (TOTP) are made from, as it stands in the catalog: sealed
 * (server/sealed_secret.h). Thread-safe; blocks.
 */
#ifndef HOLDFAST_SERVER_ACCESS_FACTOR_H
#define HOLDFAST_SERVER_ACCESS_FACTOR_H

#include "server/access/totp.h"
#include "server/arena.h"
#include "server/catalog/catalog.h"

/* Text for the catalog, of a secret in base 32. FILE_FAILED. */
int factor_seal(const char *data_directory, const char *user_id, const char *secret, struct arena *arena,
                const char **sealed, struct error *err);
/* SECRET_UNREADABLE. The key is to be wiped. */
int factor_open(const char *data_directory, const char *user_id, const char *sealed,
                uint8_t key[TOTP_KEY_SIZE], struct error *err);

/* A catalog of a version that kept them in plain: seals all, then leaves no trace of them in its files. Done
 * once, and again from where it ended when it was interrupted. Before anything else uses the catalog. */
int factor_take_over(struct catalog *catalog, const char *data_directory, struct error *err);

#endif
