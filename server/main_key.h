/*
 * `holdfastd key`: the secrets of an encrypted store, changed while the server is stopped.
 */
#ifndef HOLDFAST_SERVER_MAIN_KEY_H
#define HOLDFAST_SERVER_MAIN_KEY_H

#include "server/store_secret.h"

struct key_arguments {
    const char *data_directory;
    const char *config;
    struct store_secret_file with;       /* opens the store; without a path: what the configuration names */
    struct store_secret_file new_secret; /* add, change */
    const char *const *words;            /* list | add | change | recovery | remove SLOT */
    int word_count;
};

/* The exit status. What went wrong is in err when it is not 0; REQUEST_INVALID for wrong words. */
int run_key(const struct key_arguments *arguments, struct error *err);

#endif
