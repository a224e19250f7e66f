#include "cli/query.h"

#include "base/memory.h"
#include "cli/client.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Frees both. */
static char *join(char *path, char *parameter)
{
    char *longer = memory_format("%s%c%s", path, strchr(path, '?') != NULL ? '&' : '?', parameter);
    free(path);
    free(parameter);
    return longer;
}

char *query_path(const char *path, const struct arguments *arguments, const char *const *options,
                 const char *more)
{
    char *result = memory_copy_text(path);
    for (size_t i = 0; options[i] != NULL; i++) {
        const char *value = arguments_value(arguments, options[i]);
        if (value != NULL) {
            char *encoded = client_path("%s", value);
            result = join(result, memory_format("%s=%s", options[i], encoded));
            free(encoded);
        }
    }
    return more != NULL ? join(result, memory_copy_text(more)) : result;
}
