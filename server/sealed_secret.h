/*
 * Secrets that the server must have in plain, in the catalog: passwords and shared secrets of notifications,
 * and what codes of second factors are made from. Sealed (AES-256-GCM, storage/seal.h) with a key of 32
 * random bytes in a file of the data directory, mode 0600, that is made when it is first needed, and bound to
 * the id of whom the secret belongs to. So a copy of the catalog alone tells no secret. Whoever can read the
 * whole data directory can.
 *
 * Thread-safe; blocks.
 */
#ifndef HOLDFAST_SERVER_SEALED_SECRET_H
#define HOLDFAST_SERVER_SEALED_SECRET_H

#include "base/error.h"

enum { SEALED_SECRET_MAX = 1024 };

/* Whose key: DIR/notify.key, DIR/factor.key. */
enum sealed_use { SEALED_NOTIFICATION, SEALED_FACTOR };

/* *sealed: malloc'd hexadecimal text; "" for "". FILE_FAILED; REQUEST_INVALID past SEALED_SECRET_MAX. */
int sealed_secret_make(const char *data_directory, enum sealed_use use, const char *id, const char *plain,
                       char **sealed, struct error *err);
/* *plain: malloc'd, to be given to sealed_secret_free. SECRET_UNREADABLE when there is no key, it is another,
 * or the text is damaged or somebody else's. */
int sealed_secret_open(const char *data_directory, enum sealed_use use, const char *id, const char *sealed,
                       char **plain, struct error *err);
/* Wipes it. NULL is fine. */
void sealed_secret_free(char *plain);

#endif
