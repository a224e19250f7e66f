#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/settings.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

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

static int read_given(struct cli *cli, struct settings *settings, struct failure *failure)
{
    const char *ca = arguments_value(cli->arguments, "ca");
    const char *token_file = arguments_value(cli->arguments, "token-file");
    settings->server = server_of(arguments_at(cli->arguments, 0));
    settings->token = settings_read_text(token_file != NULL ? token_file : "-", failure);
    if (settings->token == NULL) {
        return -1;
    }
    if (ca != NULL && (settings->ca = settings_read_text(ca, failure)) == NULL) {
        return -1;
    }
    if (settings->ca != NULL && strstr(settings->ca, "-----BEGIN CERTIFICATE-----") == NULL) {
        return failure_set(failure, ERROR_FILE_FAILED, "%s holds no certificate", ca);
    }
    return 0;
}

/* The token is tried before it is kept. */
int run_login(struct cli *cli, struct failure *failure)
{
    struct settings settings = {0};
    json_t *status = NULL;
    char *path = settings_path(arguments_value(cli->arguments, "config"));
    int result = read_given(cli, &settings, failure);
    if (result == 0) {
        cli->client = client_create(&settings, failure);
        result = cli->client != NULL ? 0 : -1;
    }
    if (result == 0) {
        result = client_call(cli->client, "GET", "/v1/status", NULL, &status, failure);
    }
    if (result == 0) {
        result = settings_save(path, &settings, failure);
    }
    if (result == 0 && cli->json) {
        json_t *answer = json_pack("{s:s, s:s?, s:s}", "server", settings.server, "version",
                                   cli_text(status, "version"), "config", path);
        cli_print_json(cli, answer);
        json_decref(answer);
    } else if (result == 0) {
        char *version = text_printable(cli_text(status, "version"));
        fprintf(cli->out, "Logged in to %s (version %s). Kept in %s.\n", settings.server, version, path);
        free(version);
    }
    json_decref(status);
    settings_clear(&settings);
    free(path);
    return result;
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
        char *used = text_size(cli_number(status, "store.stored_bytes"));
        char *free_bytes = text_size(cli_number(status, "store.free_bytes"));
        cli_print_field(cli, "Version", cli_text(status, "version"));
        print_counts(cli, status);
        cli_take_field(cli, "Recovery points",
                       memory_format("%llu VMs on time, %llu late",
                                     (unsigned long long)cli_number(status, "rpo.met"),
                                     (unsigned long long)cli_number(status, "rpo.missed")));
        cli_take_field(cli, "Alerts",
                       memory_format("%llu critical, %llu warning, %llu information",
                                     (unsigned long long)cli_number(status, "alerts.critical"),
                                     (unsigned long long)cli_number(status, "alerts.warning"),
                                     (unsigned long long)cli_number(status, "alerts.information")));
        cli_take_field(cli, "Store",
                       memory_format("%s used, %s free, %llu recovery points, %llu damaged chunks", used,
                                     free_bytes, (unsigned long long)cli_number(status, "store.points"),
                                     (unsigned long long)cli_number(status, "store.damaged_chunks")));
        free(used);
        free(free_bytes);
        cli_take_field(cli, "RPO",
                       memory_format("%llu met, %llu missed, %llu waiting",
                                     (unsigned long long)cli_number(status, "rpo.met"),
                                     (unsigned long long)cli_number(status, "rpo.missed"),
                                     (unsigned long long)cli_number(status, "rpo.waiting")));
        cli_take_field(cli, "Oldest point", text_time(cli_text(status, "oldest_point")));
        cli_print_field(cli, "Room", cli_text(status, "capacity.state"));
    }
    json_decref(status);
    return 0;
}
