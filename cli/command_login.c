#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/prompt.h"
#include "cli/settings.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The default port is the admin API's, not that of HTTPS. */
static char *server_of(const char *url)
{
    char *server = memory_copy_text(url);
    size_t length = strlen(server);
    while (length > 0 && server[length - 1] == '/') {
        server[--length] = '\0';
    }
    const char *host = strstr(server, "://") != NULL ? strstr(server, "://") + 3 : server;
    const char *bracket = strchr(host, ']'); /* of an IPv6 address */
    if (strchr(bracket != NULL ? bracket : host, ':') == NULL) {
        char *with_port = memory_format("%s:7461", server);
        free(server);
        server = with_port;
    }
    if (strstr(server, "://") == NULL) {
        char *with_scheme = memory_format("https://%s", server);
        free(server);
        server = with_scheme;
    }
    return server;
}

static int read_server(struct cli *cli, struct settings *settings, struct failure *failure)
{
    const char *ca = arguments_value(cli->arguments, "ca");
    settings->server = server_of(arguments_at(cli->arguments, 0));
    if (ca != NULL && (settings->ca = settings_read_text(ca, failure)) == NULL) {
        return -1;
    }
    if (settings->ca != NULL && strstr(settings->ca, "-----BEGIN CERTIFICATE-----") == NULL) {
        return failure_set(failure, ERROR_FILE_FAILED, "%s holds no certificate", ca);
    }
    return 0;
}

static int read_token(struct cli *cli, struct settings *settings, struct failure *failure)
{
    const char *file = arguments_value(cli->arguments, "token-file");
    settings->token = settings_read_text(file != NULL ? file : "-", failure);
    return settings->token != NULL ? 0 : -1;
}

static int ask_session(struct cli *cli, const char *user, const char *password, const char *code,
                       json_t **session, struct failure *failure)
{
    json_t *body = json_pack("{s:s, s:s, s:s*}", "user", user, "password", password, "code", code);
    return client_call(cli->client, "POST", "/v1/sessions", body, session, failure);
}

/* With a code, when the server asks for one. */
static int begin_session(struct cli *cli, const char *user, const char *password, json_t **session,
                         struct failure *failure)
{
    const char *given = arguments_value(cli->arguments, "code");
    client_ask_code(cli->client, NULL); /* here it is a part of the request */
    int result = ask_session(cli, user, password, given, session, failure);
    bool wanted = result != 0 && given == NULL &&
                  strcmp(failure->code, error_code_name(ERROR_SECOND_FACTOR_REQUIRED)) == 0;
    char *code = wanted ? prompt_code() : NULL;
    if (code != NULL) {
        result = ask_session(cli, user, password, code, session, failure);
    }
    free(code);
    return result;
}

static int log_in_as(struct cli *cli, const char *user, struct settings *settings, struct failure *failure)
{
    json_t *session = NULL;
    char *password = prompt_secret_or_file(arguments_value(cli->arguments, "password-file"),
                                           "Password: ", "password-file", failure);
    int result = password != NULL ? cli_set_client(cli, settings, failure) : -1;
    if (result == 0) {
        result = begin_session(cli, user, password, &session, failure);
    }
    prompt_forget(password);
    settings->token = result == 0 ? memory_copy_text(cli_text(session, "token")) : NULL;
    if (result == 0 && settings->token == NULL) {
        result = failure_set(failure, ERROR_PROTOCOL_INVALID, "The server's answer holds no token");
    }
    json_decref(session);
    return result;
}

static void print_login(struct cli *cli, const struct settings *settings, const json_t *status,
                        const json_t *me, const char *path)
{
    const char *user = cli_text(me, "user.name");
    if (cli->json) {
        json_t *answer = json_pack("{s:s, s:s?, s:s, s:s?, s:s?}", "server", settings->server, "version",
                                   cli_text(status, "version"), "config", path, "user", user, "role",
                                   cli_text(me, "role"));
        cli_print_json(cli, answer);
        json_decref(answer);
        return;
    }
    char *version = text_printable(cli_text(status, "version"));
    fprintf(cli->out, "Logged in to %s as %s (version %s). Kept in %s.\n", settings->server,
            user != NULL ? user : "-", version, path);
    free(version);
}

/* The token is tried before it is kept. */
int run_login(struct cli *cli, struct failure *failure)
{
    struct settings settings = {0};
    json_t *status = NULL;
    json_t *me = NULL;
    const char *user = arguments_value(cli->arguments, "user");
    char *path = settings_path(arguments_value(cli->arguments, "config"));
    int result = read_server(cli, &settings, failure);
    if (result == 0) {
        result =
            user != NULL ? log_in_as(cli, user, &settings, failure) : read_token(cli, &settings, failure);
    }
    if (result == 0 && cli_set_client(cli, &settings, failure) == 0 &&
        client_call(cli->client, "GET", "/v1/status", NULL, &status, failure) == 0 &&
        client_call(cli->client, "GET", "/v1/me", NULL, &me, failure) == 0 &&
        settings_save(path, &settings, failure) == 0) {
        print_login(cli, &settings, status, me, path);
    } else {
        result = -1;
    }
    json_decref(status);
    json_decref(me);
    settings_clear(&settings);
    free(path);
    return result;
}

/* The file goes in any case; a session that has ended already is no failure. */
int run_logout(struct cli *cli, struct failure *failure)
{
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        return -1;
    }
    int result = client_call(client, "DELETE", "/v1/sessions/current", NULL, NULL, failure);
    if (result != 0 && failure->status == EXIT_STATUS_NOT_PERMITTED) {
        result = 0;
    }
    char *path = settings_path(arguments_value(cli->arguments, "config"));
    unlink(path);
    if (result == 0 && cli->json) {
        json_t *answer = json_pack("{s:s}", "removed", path);
        cli_print_json(cli, answer);
        json_decref(answer);
    } else if (result == 0) {
        fprintf(cli->out, "Logged out; %s is removed.\n", path);
    }
    free(path);
    return result;
}

int run_whoami(struct cli *cli, struct failure *failure)
{
    json_t *me = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_call(client, "GET", "/v1/me", NULL, &me, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, me);
    } else {
        const char *expires = cli_text(me, "token.expires");
        cli_print_field(cli, "User", cli_text(me, "user.name"));
        cli_print_field(cli, "Role", cli_text(me, "role"));
        cli_print_field(cli, "Token", cli_text(me, "token.kind"));
        cli_take_field(cli, "Until",
                       expires != NULL ? text_time(expires) : memory_copy_text("it is made anew"));
        cli_print_field(cli, "Second factor", cli_text(me, "user.second_factor"));
    }
    json_decref(me);
    return 0;
}

static void print_counts(const struct cli *cli, const json_t *status)
{
    cli_take_field(cli, "Hosts",
                   memory_format("%llu connected, %llu unreachable, %llu outdated",
                                 (unsigned long long)cli_number(status, "hosts.connected"),
                                 (unsigned long long)cli_number(status, "hosts.unreachable"),
                                 (unsigned long long)cli_number(status, "hosts.outdated")));
    cli_take_field(
        cli, "VMs",
        memory_format("%llu protected, %llu failing, %llu waiting for the first backup, %llu stopped, "
                      "%llu vanished, %llu unprotected",
                      (unsigned long long)cli_number(status, "vms.protected"),
                      (unsigned long long)cli_number(status, "vms.failing"),
                      (unsigned long long)cli_number(status, "vms.waiting"),
                      (unsigned long long)cli_number(status, "vms.stopped"),
                      (unsigned long long)cli_number(status, "vms.vanished"),
                      (unsigned long long)cli_number(status, "vms.unprotected")));
    cli_take_field(
        cli, "Jobs, last 24 h",
        memory_format("%llu running, %llu queued, %llu completed, %llu with warnings, %llu failed, "
                      "%llu cancelled",
                      (unsigned long long)cli_number(status, "jobs_last_day.running"),
                      (unsigned long long)cli_number(status, "jobs_last_day.queued"),
                      (unsigned long long)cli_number(status, "jobs_last_day.completed"),
                      (unsigned long long)cli_number(status, "jobs_last_day.completed-with-warnings"),
                      (unsigned long long)cli_number(status, "jobs_last_day.failed"),
                      (unsigned long long)cli_number(status, "jobs_last_day.cancelled")));
}

/* Not told to users that are scoped to groups. */
static void print_store(const struct cli *cli, const json_t *status)
{
    if (!json_is_object(json_object_get(status, "store"))) {
        return;
    }
    char *used = text_size(cli_number(status, "store.stored_bytes"));
    char *free_bytes = text_size(cli_number(status, "store.free_bytes"));
    cli_take_field(cli, "Store",
                   memory_format("%s used, %s free, %llu recovery points, %llu damaged chunks", used,
                                 free_bytes, (unsigned long long)cli_number(status, "store.points"),
                                 (unsigned long long)cli_number(status, "store.damaged_chunks")));
    free(used);
    free(free_bytes);
}

int run_status(struct cli *cli, struct failure *failure)
{
    json_t *status = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_call(client, "GET", "/v1/status", NULL, &status, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, status);
    } else {
        cli_print_field(cli, "Version", cli_text(status, "version"));
        print_counts(cli, status);
        cli_take_field(cli, "Alerts",
                       memory_format("%llu critical, %llu warning, %llu information",
                                     (unsigned long long)cli_number(status, "alerts.critical"),
                                     (unsigned long long)cli_number(status, "alerts.warning"),
                                     (unsigned long long)cli_number(status, "alerts.information")));
        print_store(cli, status);
        cli_take_field(cli, "Recovery points",
                       memory_format("%llu VMs on time, %llu late, %llu waiting for the first",
                                     (unsigned long long)cli_number(status, "rpo.met"),
                                     (unsigned long long)cli_number(status, "rpo.missed"),
                                     (unsigned long long)cli_number(status, "rpo.waiting")));
        cli_take_field(cli, "Oldest point", text_time(cli_text(status, "oldest_point")));
        if (json_is_object(json_object_get(status, "capacity"))) {
            cli_print_field(cli, "Room", cli_text(status, "capacity.state"));
        }
    }
    json_decref(status);
    return 0;
}
