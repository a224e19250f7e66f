#include "base/config.h"

#include "base/memory.h"
#include "base/os_file.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_FILE_MAX = 1024 * 1024 };

struct config {
    const struct config_key *keys;
    size_t count;
    char **values; /* by key; NULL: not set */
};

static int config_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->count; i++) {
        if (strcmp(config->keys[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int config_set(struct config *config, const char *name, const char *value, struct error *err)
{
    int key = config_find(config, name);
    if (key < 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "There is no setting called %s", name);
    }
    char *copy = memory_copy_text(value);
    free(config->values[key]);
    config->values[key] = copy;
    return 0;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        text[--length] = '\0';
    }
    return text;
}

static int config_parse_line(struct config *config, const char *path, unsigned number, char *line,
                             struct error *err)
{
    line = trim(line);
    if (*line == '\0' || *line == '#') {
        return 0;
    }
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        return error_set(err, ERROR_CONFIG_INVALID, "%s, line %u: not of the form key = value", path, number);
    }
    *equals = '\0';
    if (config_set(config, trim(line), trim(equals + 1), err) != 0) {
        return error_wrap(err, ERROR_CONFIG_INVALID, "%s, line %u is not valid", path, number);
    }
    return 0;
}

static int config_parse(struct config *config, const char *path, char *text, struct error *err)
{
    unsigned number = 0;
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (config_parse_line(config, path, ++number, line, err) != 0) {
            return -1;
        }
    }
    return 0;
}

struct config *config_load(const char *path, const struct config_key *keys, struct error *err)
{
    struct config *config = memory_zalloc(sizeof *config);
    config->keys = keys;
    while (keys[config->count].name != NULL) {
        config->count++;
    }
    config->values = memory_array(config->count, sizeof *config->values);
    if (path == NULL || !os_path_exists(path)) {
        return config;
    }
    uint8_t *bytes = NULL;
    size_t length;
    if (os_file_read_whole(path, CONFIG_FILE_MAX, &bytes, &length, err) != 0 ||
        config_parse(config, path, (char *)bytes, err) != 0) {
        free(bytes);
        config_destroy(config);
        return NULL;
    }
    free(bytes);
    return config;
}

void config_destroy(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->count; i++) {
        free(config->values[i]);
    }
    free(config->values);
    free(config);
}

const char *config_text(const struct config *config, const char *name)
{
    int key = config_find(config, name);
    if (key < 0) {
        return NULL;
    }
    return config->values[key] != NULL ? config->values[key] : config->keys[key].default_value;
}

int config_integer(const struct config *config, const char *name, int64_t minimum, int64_t maximum,
                   int64_t *value, struct error *err)
{
    const char *text = config_text(config, name);
    char *end = NULL;
    errno = 0;
    long long parsed = text != NULL ? strtoll(text, &end, 10) : 0;
    if (text == NULL || end == text || *end != '\0' || errno != 0 || parsed < minimum || parsed > maximum) {
        return error_set(err, ERROR_CONFIG_INVALID, "%s must be a whole number from %lld to %lld", name,
                         (long long)minimum, (long long)maximum);
    }
    *value = parsed;
    return 0;
}

int config_parse_size(const char *text, uint64_t *bytes)
{
    char *end = NULL;
    if (!isdigit((unsigned char)*text)) {
        return -1;
    }
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0) {
        return -1;
    }
    static const char suffixes[] = "KMGT";
    uint64_t factor = 1;
    if (*end != '\0') {
        const char *suffix = strchr(suffixes, toupper((unsigned char)*end));
        if (suffix == NULL || end[1] != '\0') {
            return -1;
        }
        factor = (uint64_t)1 << (10 * (suffix - suffixes + 1));
    }
    return __builtin_mul_overflow((uint64_t)number, factor, bytes) ? -1 : 0;
}

int config_size(const struct config *config, const char *name, uint64_t *bytes, struct error *err)
{
    const char *text = config_text(config, name);
    if (text == NULL || config_parse_size(text, bytes) != 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "%s must be a size such as 512M or 10G", name);
    }
    return 0;
}

int config_boolean(const struct config *config, const char *name, bool *value, struct error *err)
{
    const char *text = config_text(config, name);
    if (text != NULL && (strcmp(text, "yes") == 0 || strcmp(text, "true") == 0)) {
        *value = true;
        return 0;
    }
    if (text != NULL && (strcmp(text, "no") == 0 || strcmp(text, "false") == 0)) {
        *value = false;
        return 0;
    }
    return error_set(err, ERROR_CONFIG_INVALID, "%s must be yes or no", name);
}
