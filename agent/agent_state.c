#include "agent/agent_state.h"

#include "base/bytes.h"
#include "base/identity.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "proto/pki.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { AGENT_PORT_DEFAULT = 7460, AGENT_FILE_MAX = 65536 };

int agent_address_parse(const char *text, char **host, uint16_t *port)
{
    const char *end;
    const char *start = text;
    if (*text == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return -1;
        }
    } else {
        end = strrchr(text, ':');
        end = end != NULL ? end : text + strlen(text);
    }
    const char *colon = *end == ']' ? end + 1 : end;
    unsigned long number = AGENT_PORT_DEFAULT;
    if (*colon == ':') {
        char *rest;
        errno = 0;
        number = strtoul(colon + 1, &rest, 10);
        if (errno != 0 || rest == colon + 1 || *rest != '\0' || colon[1] == '-') {
            return -1;
        }
    }
    if (end == start || number < 1 || number > UINT16_MAX) {
        return -1;
    }
    *host = memory_format("%.*s", (int)(end - start), start);
    *port = (uint16_t)number;
    return 0;
}

void agent_state_init(struct agent_state *state, const char *directory)
{
    *state = (struct agent_state){.directory = memory_copy_text(directory),
                                  .key_path = os_path_join(directory, "agent.key"),
                                  .certificate_path = os_path_join(directory, "agent.pem"),
                                  .ca_path = os_path_join(directory, "ca.pem")};
}

static int parse(struct agent_state *state, const json_t *root)
{
    const char *host = json_string_value(json_object_get(root, "server_host"));
    const char *id = json_string_value(json_object_get(root, "host_id"));
    json_int_t port = json_integer_value(json_object_get(root, "server_port"));
    if (host == NULL || id == NULL || !identity_is_valid(id) || port < 1 || port > UINT16_MAX) {
        return -1;
    }
    state->server_host = memory_copy_text(host);
    state->server_port = (uint16_t)port;
    state->host_id = memory_copy_text(id);
    return 0;
}

int agent_state_load(struct agent_state *state, const char *directory, struct error *err)
{
    uint8_t *bytes = NULL;
    size_t length;
    uint8_t fingerprint[DIGEST_SIZE];
    agent_state_init(state, directory);
    char *path = os_path_join(directory, "agent.json");
    int result = -1;
    if (!os_path_exists(path)) {
        error_set(err, ERROR_NOT_INITIALIZED, "%s holds no enrolled agent", directory);
    } else if (os_file_read_whole(path, AGENT_FILE_MAX, &bytes, &length, err) == 0) {
        json_t *root = json_loadb((const char *)bytes, length, 0, NULL);
        result = parse(state, root);
        json_decref(root);
        if (result != 0) {
            error_set(err, ERROR_CONFIG_INVALID, "%s is damaged; enrol the host again", path);
        } else {
            result = pki_fingerprint(state->ca_path, fingerprint, err);
        }
    }
    if (result == 0) {
        bytes_to_hex(fingerprint, (sizeof state->server_id - 1) / 2, state->server_id);
    } else {
        agent_state_release(state);
    }
    free(bytes);
    free(path);
    return result;
}

int agent_state_save(const struct agent_state *state, struct error *err)
{
    json_t *root = json_pack("{s:s, s:i, s:s}", "server_host", state->server_host, "server_port",
                             (int)state->server_port, "host_id", state->host_id);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    char *path = os_path_join(state->directory, "agent.json");
    int result = text != NULL ? os_file_write_whole(path, text, strlen(text), 0600, err)
                              : error_set(err, ERROR_INTERNAL, "%s could not be made", path);
    free(path);
    free(text);
    json_decref(root);
    return result;
}

void agent_state_release(struct agent_state *state)
{
    free(state->server_host);
    free(state->host_id);
    free(state->directory);
    free(state->key_path);
    free(state->certificate_path);
    free(state->ca_path);
    *state = (struct agent_state){0};
}
