/* Alerts. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>

enum { SHORT_ID = 8 };

static const char *state_of(const json_t *alert)
{
    return cli_text(alert, "resolved") != NULL       ? "resolved"
           : cli_text(alert, "acknowledged") != NULL ? "acknowledged"
                                                     : "open";
}

static void print_alerts(const struct cli *cli, json_t *alerts)
{
    size_t index;
    json_t *alert;
    struct table *table = table_create("ALERT|SEVERITY|STATE|RAISED|OBJECT|CODE|MESSAGE");
    json_array_foreach (alerts, index, alert) {
        const char *id = cli_text(alert, "id");
        table_take(table, memory_format("%.*s", SHORT_ID, id != NULL ? id : "-"));
        table_add(table, cli_text(alert, "severity"));
        table_add(table, state_of(alert));
        table_take(table, text_time(cli_text(alert, "raised")));
        table_add(table, cli_text(alert, "object"));
        table_add(table, cli_text(alert, "code"));
        table_add(table, cli_text(alert, "message"));
    }
    table_print(table, "Nothing is wrong.", cli->out);
    table_destroy(table);
}

int run_alert_list(struct cli *cli, struct failure *failure)
{
    json_t *alerts = NULL;
    const char *severity = arguments_value(cli->arguments, "severity");
    const char *all = arguments_flag(cli->arguments, "all") ? "true" : "false";
    struct client *client = cli_client(cli, failure);
    char *path = severity != NULL ? client_path("/v1/alerts?all=%s&severity=%s", all, severity)
                                  : client_path("/v1/alerts?all=%s", all);
    int result = client != NULL ? client_list(client, path, 0, &alerts, failure) : -1;
    free(path);
    if (result == 0 && cli->json) {
        cli_print_items(cli, alerts);
    } else if (result == 0) {
        print_alerts(cli, alerts);
        json_decref(alerts);
    }
    return result;
}

static void print_alert(const struct cli *cli, const json_t *alert)
{
    cli_print_field(cli, "Alert", cli_text(alert, "id"));
    cli_print_field(cli, "Code", cli_text(alert, "code"));
    cli_print_field(cli, "Severity", cli_text(alert, "severity"));
    cli_print_field(cli, "State", state_of(alert));
    cli_take_field(cli, "Object",
                   memory_format("%s %s", cli_text(alert, "object_kind"), cli_text(alert, "object")));
    cli_print_field(cli, "Message", cli_text(alert, "message"));
    cli_print_field(cli, "Cause", cli_text(alert, "cause"));
    cli_print_field(cli, "Cause's code", cli_text(alert, "cause_code"));
    cli_print_field(cli, "To do", cli_text(alert, "action"));
    cli_print_field(cli, "Job", cli_text(alert, "job"));
    cli_take_field(cli, "Raised", text_time(cli_text(alert, "raised")));
    cli_take_field(cli, "Resolved", text_time(cli_text(alert, "resolved")));
    cli_take_field(cli, "Acknowledged", text_time(cli_text(alert, "acknowledged")));
    cli_print_field(cli, "By", cli_text(alert, "acknowledged_by"));
    cli_print_field(cli, "Note", cli_text(alert, "note"));
}

static int call_alert(struct cli *cli, const char *method, const char *end, json_t *body, json_t **alert,
                      struct failure *failure)
{
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    char *encoded = client_path("/v1/alerts/%s", arguments_at(cli->arguments, 0));
    char *path = memory_format("%s%s", encoded, end);
    int result = client_call(client, method, path, body, alert, failure);
    free(encoded);
    free(path);
    return result;
}

int run_alert_show(struct cli *cli, struct failure *failure)
{
    json_t *alert = NULL;
    if (call_alert(cli, "GET", "", NULL, &alert, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, alert);
    } else {
        print_alert(cli, alert);
    }
    json_decref(alert);
    return 0;
}

int run_alert_ack(struct cli *cli, struct failure *failure)
{
    json_t *alert = NULL;
    const char *note = arguments_value(cli->arguments, "note");
    json_t *body = json_object();
    if (note != NULL) {
        json_object_set_new(body, "note", json_string(note));
    }
    if (call_alert(cli, "POST", "/ack", body, &alert, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, alert);
    } else {
        char *message = text_printable(cli_text(alert, "message"));
        fprintf(cli->out, "Acknowledged: %s.\n", message);
        free(message);
    }
    json_decref(alert);
    return 0;
}
