/*
 * Passwords and shared secrets of notifications at rest: sealed (AES-256-GCM, storage/seal.h) with a key of
 * 32 random bytes in DIR/notify.key, mode 0600, that is made when it is first needed, and bound to the id of
 * the notification. So a copy of the catalog alone tells no password. Whoever can read the whole data
 * directory can.
 *
 * Thread-safe but for the first two calls of a server at once; blocks.
 */
#ifndef HOLDFAST_SERVER_ALERTS_NOTIFY_SECRET_H
#define HOLDFAST_SERVER_ALERTS_NOTIFY_SECRET_H

#include "base/error.h"

enum { NOTIFY_SECRET_MAX = 1024 };

/* *sealed: malloc'd hexadecimal text; "" for "". FILE_FAILED. */
int notify_secret_seal(const char *data_directory, const char *id, const char *plain, char **sealed,
                       struct error *err);
/* *plain: malloc'd, to be given to notify_secret_free. NOTIFY_FAILED when the key is another. */
int notify_secret_open(const char *data_directory, const char *id, const char *sealed, char **plain,
                       struct error *err);
/* Wipes it. NULL is fine. */
void notify_secret_free(char *plain);

#endif
