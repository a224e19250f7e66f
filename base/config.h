/*
 * Configuration files: `key = value` lines, `#` comments, no sections. Keys are checked against the list that
 * the program knows, so that a misspelt one is an error and not ignored. Not thread-safe.
 */
#ifndef HOLDFAST_BASE_CONFIG_H
#define HOLDFAST_BASE_CONFIG_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct config;

struct config_key {
    const char *name;
    const char *default_value; /* NULL: none */
    const char *help;
};

/* keys: ends with a NULL name; borrowed until config_destroy. path: NULL or a missing file gives the
 * defaults. */
struct config *config_load(const char *path, const struct config_key *keys, struct error *err);
void config_destroy(struct config *config);
/* Overrides, as from the command line. CONFIG_INVALID for an unknown key. */
int config_set(struct config *config, const char *name, const char *value, struct error *err);
/* The value or the default; NULL when there is neither. Borrowed until the config changes. */
const char *config_text(const struct config *config, const char *name);
int config_integer(const struct config *config, const char *name, int64_t minimum, int64_t maximum,
                   int64_t *value, struct error *err);
/* Bytes with an optional suffix K, M, G, T (powers of 1024). */
int config_size(const struct config *config, const char *name, uint64_t *bytes, struct error *err);
int config_boolean(const struct config *config, const char *name, bool *value, struct error *err);
/* The size parser by itself, for command lines. -1 when it is not a size. */
int config_parse_size(const char *text, uint64_t *bytes);

#endif
