/* Options of a command as the query of a request. */
#ifndef HOLDFAST_CLI_QUERY_H
#define HOLDFAST_CLI_QUERY_H

#include "cli/arguments.h"

/* path, then those of the options (ends with NULL) that were given, as parameters of the same names; more:
 * one parameter that is in its form already, or NULL. malloc'd. */
char *query_path(const char *path, const struct arguments *arguments, const char *const *options,
                 const char *more);

#endif
