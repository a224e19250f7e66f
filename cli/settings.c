#include "cli/settings.h"

#include "base/memory.h"
#include "base/os_file.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SETTINGS_TEXT_MAX = 256 * 1024 };

char *settings_path(const char *option)
{
    const char *chosen = option != NULL ? option : getenv("HOLDFAST_CONFIG");
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    if (chosen != NULL && *chosen != '\0') {
        return memory_copy_text(chosen);
    }
    if (base != NULL && *base == '/') {
        return memory_format("%s/holdfast/config.json", base);
    }
    return memory_format("%s/.config/holdfast/config.json", home != NULL ? home : "");
}

void settings_clear(struct settings *settings)
{
    free(settings->server);
    free(settings->ca);
    free(settings->token);
    memset(settings, 0, sizeof *settings);
}

int settings_load(const char *path, struct settings *settings, struct failure *failure)
{
    json_error_t json_error;
    memset(settings, 0, sizeof *settings);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        failure_set(failure, ERROR_AUTHENTICATION_FAILED, "You are not logged in: there is no %s", path);
        snprintf(
            failure->action, sizeof failure->action,
            "Log in with `holdfast login https://HOST:7461 --ca DIR/ca.pem --token-file DIR/admin.token`.");
        return -1;
    }
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &json_error);
    const char *server = json_string_value(json_object_get(root, "server"));
    const char *token = json_string_value(json_object_get(root, "token"));
    if (server == NULL || token == NULL) {
        failure_set(failure, ERROR_CONFIG_INVALID, "%s is not a configuration of holdfast", path);
        snprintf(failure->cause, sizeof failure->cause, "%s",
                 root == NULL ? json_error.text : "server or token is missing");
        snprintf(failure->action, sizeof failure->action, "Log in again with `holdfast login`.");
        json_decref(root);
        return -1;
    }
    settings->server = memory_copy_text(server);
    settings->token = memory_copy_text(token);
    settings->ca = memory_copy_text(json_string_value(json_object_get(root, "ca")));
    json_decref(root);
    return 0;
}

static int make_parents(const char *path, struct failure *failure)
{
    char *copy = memory_copy_text(path);
    int result = 0;
    for (char *slash = strchr(copy + 1, '/'); slash != NULL && result == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
            result = failure_set(failure, ERROR_FILE_FAILED, "The directory %s could not be made: %s", copy,
                                 strerror(errno));
        }
        *slash = '/';
    }
    free(copy);
    return result;
}

int settings_save(const char *path, const struct settings *settings, struct failure *failure)
{
    json_t *root = json_pack("{s:s, s:s}", "server", settings->server, "token", settings->token);
    char *temporary = memory_format("%s.%ld", path, (long)getpid());
    int result = -1;
    int fd = -1;
    if (root != NULL && settings->ca != NULL) {
        json_object_set_new(root, "ca", json_string(settings->ca));
    }
    if (root == NULL) {
        failure_set(failure, ERROR_REQUEST_INVALID, "The address or the token is not plain text");
        goto done;
    }
    if (make_parents(path, failure) != 0) {
        goto done;
    }
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || json_dumpfd(root, fd, JSON_INDENT(2)) != 0 || fsync(fd) != 0 ||
        rename(temporary, path) != 0) {
        failure_set(failure, ERROR_FILE_FAILED, "%s could not be written: %s", path, strerror(errno));
        if (fd >= 0) {
            unlink(temporary);
        }
        goto done;
    }
    result = 0;
done:
    if (fd >= 0) {
        close(fd);
    }
    free(temporary);
    json_decref(root);
    return result;
}

char *settings_read_text(const char *path, struct failure *failure)
{
    bool standard_input = strcmp(path, "-") == 0;
    FILE *file = standard_input ? stdin : fopen(path, "re");
    if (file == NULL) {
        failure_set(failure, ERROR_FILE_FAILED, "%s could not be read: %s", path, strerror(errno));
        return NULL;
    }
    char *text = memory_alloc(SETTINGS_TEXT_MAX + 1);
    size_t length = fread(text, 1, SETTINGS_TEXT_MAX, file);
    bool bad = ferror(file) != 0 || !feof(file) || memchr(text, '\0', length) != NULL;
    if (!standard_input) {
        fclose(file);
    }
    while (length > 0 && isspace((unsigned char)text[length - 1])) {
        length--;
    }
    text[length] = '\0';
    if (bad || length == 0) {
        failure_set(failure, ERROR_FILE_FAILED, "%s is empty, too large or not a text", path);
        free(text);
        return NULL;
    }
    return text;
}
