/*
 * What `holdfast login` keeps: the server's address, the certificate authority that it must have, the token.
 * One JSON file of mode 0600.
 */
#ifndef HOLDFAST_CLI_SETTINGS_H
#define HOLDFAST_CLI_SETTINGS_H

#include "cli/failure.h"

struct settings {
    char *server; /* "https://host:7461", without a slash at the end */
    char *ca;     /* PEM; NULL: the system's authorities */
    char *token;
};

/* Where the file is: `option` (may be NULL), $HOLDFAST_CONFIG, $XDG_CONFIG_HOME/holdfast/config.json or
 * ~/.config/holdfast/config.json. malloc'd. */
char *settings_path(const char *option);
/* AUTHENTICATION_FAILED when there is no file, CONFIG_INVALID when it is not one of ours. */
int settings_load(const char *path, struct settings *settings, struct failure *failure);
/* Replaces the file in one step; makes its directory. */
int settings_save(const char *path, const struct settings *settings, struct failure *failure);
void settings_clear(struct settings *settings);
/* A small text file (a token, a PEM file), without white space at its end; "-" is the standard input. NULL on
 * failure. */
char *settings_read_text(const char *path, struct failure *failure);

#endif
