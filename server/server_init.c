/* How a data directory is made. Every step is left out when it is done already, the configuration comes last:
 * an initialization that was interrupted is finished by the next. */
#include "server/server_internal.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "proto/pki.h"
#include "server/catalog/catalog_access.h"
#include "server/protection/protection.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 64, TOKEN_BYTES = 32 };

struct names {
    char *items[NAMES_MAX + 1];
    size_t count;
};

static void add_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0) {
            return;
        }
    }
    if (names->count < NAMES_MAX && *name != '\0') {
        names->items[names->count++] = memory_copy_text(name);
    }
}

static void add_own_addresses(struct names *names)
{
    struct ifaddrs *interfaces;
    char text[NI_MAXHOST];
    if (getifaddrs(&interfaces) != 0) {
        return;
    }
    for (const struct ifaddrs *one = interfaces; one != NULL; one = one->ifa_next) {
        int family = one->ifa_addr != NULL ? one->ifa_addr->sa_family : AF_UNSPEC;
        socklen_t size = family == AF_INET    ? sizeof(struct sockaddr_in)
                         : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                              : 0;
        if (size > 0 && getnameinfo(one->ifa_addr, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0 &&
            strchr(text, '%') == NULL) {
            add_name(names, text);
        }
    }
    freeifaddrs(interfaces);
}

/* By whatever name or address of this machine an operator or agent may come. */
static int make_authority(const struct server_init_options *options, struct error *err)
{
    struct names names = {.count = 0};
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    add_name(&names, "localhost");
    add_name(&names, host);
    for (size_t i = 0; options->names != NULL && options->names[i] != NULL; i++) {
        add_name(&names, options->names[i]);
    }
    add_own_addresses(&names);
    int result = pki_create_authority(options->data_directory, (const char *const *)names.items, err);
    for (size_t i = 0; i < names.count; i++) {
        free(names.items[i]);
    }
    return result;
}

static int make_policy(struct catalog *catalog, struct error *err)
{
    struct arena *arena = arena_create();
    struct catalog_page page = {.limit = 1};
    const struct catalog_policy *policies;
    size_t count;
    char id[IDENTITY_SIZE];
    int result = catalog_policy_list(catalog, arena, &page, &policies, &count, err);
    if (result == 0 && count == 0) {
        struct catalog_policy policy;
        policy_default(&policy);
        policy.name = "daily-22h";
        result = policy_create(catalog, &policy, id, err);
    }
    arena_destroy(arena);
    return result;
}

static int make_token(const char *data_directory, struct catalog *catalog, struct error *err)
{
    uint8_t secret[TOKEN_BYTES];
    uint8_t digest[DIGEST_SIZE];
    char text[2 * TOKEN_BYTES + 2];
    char hash[2 * DIGEST_SIZE + 1];
    identity_random(secret, sizeof secret);
    bytes_to_hex(secret, sizeof secret, text);
    digest_sha256(text, strlen(text), digest);
    bytes_to_hex(digest, sizeof digest, hash);
    if (catalog_setting_set(catalog, "admin_token_hash", hash, err) != 0) {
        return -1;
    }
    char *path = server_path(data_directory, SERVER_FILE_TOKEN);
    text[2 * TOKEN_BYTES] = '\n';
    int result = os_file_write_whole(path, text, sizeof text - 1, 0600, err);
    free(path);
    return result;
}

int server_make_admin_token(const char *data_directory, struct error *err)
{
    char *path = server_path(data_directory, SERVER_FILE_CATALOG);
    bool there = os_path_exists(path);
    struct catalog *catalog = there ? catalog_open(path, err) : NULL;
    free(path);
    if (!there) {
        return error_set(err, ERROR_NOT_INITIALIZED, "%s holds no server", data_directory);
    }
    int result = catalog != NULL && make_token(data_directory, catalog, err) == 0 &&
                         catalog_user_clear_factors(catalog, CATALOG_ADMIN_ID, err) == 0
                     ? 0
                     : -1;
    catalog_close(catalog);
    return result;
}

static int make_catalog(const char *data_directory, struct error *err)
{
    char *path = server_path(data_directory, SERVER_FILE_CATALOG);
    struct catalog *catalog = catalog_open(path, err);
    free(path);
    int result =
        catalog != NULL && make_policy(catalog, err) == 0 && make_token(data_directory, catalog, err) == 0
            ? 0
            : -1;
    catalog_close(catalog);
    return result;
}

/* A store that is there already, as one that was copied from another machine, is only opened: it must open
 * with that secret. */
static int make_store(const struct server_init_options *options, struct error *err)
{
    struct store_secret_bytes secret;
    if (store_secret_read(&options->secret, &secret, err) != 0) {
        return -1;
    }
    char *path = options->store != NULL ? memory_copy_text(options->store)
                                        : server_path(options->data_directory, SERVER_FILE_STORE);
    int result;
    if (store_exists(path)) {
        struct store_open_options open = {.secret = store_secret_of(&secret)};
        struct store *store = store_open(path, &open, err);
        result = store != NULL ? 0 : -1;
        store_close(store);
    } else {
        struct store_settings settings = {.chunk_size = options->chunk_size,
                                          .secret = store_secret_of(&secret)};
        result = store_create(path, &settings, err);
    }
    free(path);
    store_secret_clear(&secret);
    return result;
}

static char *config_line(const char *name, const char *value)
{
    return value != NULL ? memory_format("%s = %s\n", name, value) : memory_copy_text("");
}

static int make_config(const struct server_init_options *options, struct error *err)
{
    char *store = config_line("store", options->store);
    char *secret =
        config_line(options->secret.kind == STORE_KEY_FILE ? "store-key-file" : "store-passphrase-file",
                    options->secret.path);
    char *text = memory_format("# Settings of the Holdfast server; docs/guide.md has all of them.\n"
                               "listen = %s\nagent-port = %u\napi-port = %u\n%s%s",
                               options->listen_address != NULL ? options->listen_address : "0.0.0.0",
                               options->agent_port != 0 ? options->agent_port : AGENT_PORT_DEFAULT,
                               options->api_port != 0 ? options->api_port : API_PORT_DEFAULT, store, secret);
    char *path = server_path(options->data_directory, SERVER_FILE_CONFIG);
    int result = os_file_write_whole(path, text, strlen(text), 0644, err);
    free(path);
    free(text);
    free(secret);
    free(store);
    return result;
}

static bool has(const char *data_directory, enum server_file file)
{
    char *path = server_path(data_directory, file);
    bool exists = os_path_exists(path);
    free(path);
    return exists;
}

int server_init(const struct server_init_options *options, bool *made, struct error *err)
{
    const char *directory = options->data_directory;
    bool has_authority = has(directory, SERVER_FILE_CERTIFICATE); /* the last that is made of it */
    bool has_catalog = has(directory, SERVER_FILE_CATALOG) && has(directory, SERVER_FILE_TOKEN);
    bool has_config = has(directory, SERVER_FILE_CONFIG);
    *made = !(has_authority && has_catalog && has_config);
    if (!*made) {
        return 0;
    }
    return os_path_make_directory(directory, 0700, err) != 0 ||
                   (!has_authority && make_authority(options, err) != 0) || make_store(options, err) != 0 ||
                   (!has_catalog && make_catalog(directory, err) != 0) ||
                   (!has_config && make_config(options, err) != 0)
               ? -1
               : 0;
}
