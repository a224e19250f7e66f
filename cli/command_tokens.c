/* API tokens of scripts, and requests that wait for a second person. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

static char *short_id(const json_t *object)
{
    const char *id = cli_text(object, "id");
    return memory_format("%.8s", id != NULL ? id : "-");
}

int run_token_create(struct cli *cli, struct failure *failure)
{
    enum { DAYS_MAX = 3650 };
    const struct arguments *arguments = cli->arguments;
    long days;
    json_t *reply = NULL;
    struct client *client = cli_client(cli, failure);
    int given = arguments_number(arguments, "days", 1, DAYS_MAX, &days, failure);
    if (client == NULL || given < 0) {
        return -1;
    }
    json_t *body = json_pack("{s:s, s:b, s:s*, s:s*}", "name", arguments_at(arguments, 0), "destructive",
                             arguments_flag(arguments, "destructive"), "role",
                             arguments_value(arguments, "role"), "user", arguments_value(arguments, "user"));
    if (given > 0) {
        json_object_set_new(body, "days", json_integer(days));
    }
    if (client_call(client, "POST", "/v1/tokens", body, &reply, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, reply);
    } else {
        cli_print_field(cli, "Token", cli_text(reply, "token"));
        cli_print_field(cli, "Id", cli_text(reply, "id"));
        cli_print_field(cli, "Role", cli_text(reply, "role"));
        cli_take_field(cli, "Until", text_time(cli_text(reply, "expires")));
        fputs("\nIt is shown only now. A script logs in with it: holdfast login SERVER --ca ca.pem "
              "--token-file FILE\n",
              cli->out);
    }
    json_decref(reply);
    return 0;
}

int run_token_list(struct cli *cli, struct failure *failure)
{
    json_t *tokens = NULL;
    size_t index;
    json_t *token;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_list(client, "/v1/tokens", 0, &tokens, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, tokens);
        return 0;
    }
    struct table *table = table_create("TOKEN|USER|KIND|NAME|ROLE|DESTRUCTIVE|LAST USED|UNTIL");
    json_array_foreach (tokens, index, token) {
        table_take(table, short_id(token));
        table_add(table, cli_text(token, "user"));
        table_add(table, cli_text(token, "kind"));
        table_add(table, cli_text(token, "name"));
        table_add(table, cli_text(token, "role"));
        table_add(table, cli_truth(token, "destructive") ? "yes" : "no");
        table_take(table, text_time(cli_text(token, "last_used")));
        table_take(table, text_time(cli_text(token, "expires")));
    }
    table_print(table, "There is no token.", cli->out);
    table_destroy(table);
    json_decref(tokens);
    return 0;
}

/* Takes the path over. done: what is said of the argument then. */
static int act_on(struct cli *cli, const char *method, char *path, const char *done, struct failure *failure)
{
    const char *what = arguments_at(cli->arguments, 0);
    json_t *reply = NULL;
    struct client *client = cli_client(cli, failure);
    int result = client != NULL ? client_call(client, method, path, NULL, &reply, failure) : -1;
    free(path);
    if (result == 0 && cli->json) {
        cli_print_json(cli, reply);
    } else if (result == 0) {
        fprintf(cli->out, "%s %s.\n", what, done);
    }
    json_decref(reply);
    return result;
}

int run_token_revoke(struct cli *cli, struct failure *failure)
{
    return act_on(cli, "DELETE", client_path("/v1/tokens/%s", arguments_at(cli->arguments, 0)), "is revoked",
                  failure);
}

/* What would be done, in full. malloc'd. */
static char *request_text(const json_t *approval)
{
    const json_t *request = json_object_get(approval, "request");
    const json_t *body = json_object_get(request, "body");
    if (!json_is_object(request)) {
        return memory_copy_text("-"); /* by an older server */
    }
    char *fields = json_object_size(body) > 0 ? json_dumps(body, JSON_COMPACT) : NULL;
    const char *query = cli_text(approval, "request.query");
    char *text =
        memory_format("%s %s%s%s%s%s", cli_text(approval, "request.method"),
                      cli_text(approval, "request.path"), query != NULL ? "?" : "",
                      query != NULL ? query : "", fields != NULL ? " " : "", fields != NULL ? fields : "");
    free(fields);
    return text;
}

int run_approval_list(struct cli *cli, struct failure *failure)
{
    enum { NEWEST = 50 };
    json_t *approvals = NULL;
    size_t index;
    json_t *approval;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_list(client, "/v1/approvals", NEWEST, &approvals, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, approvals);
        return 0;
    }
    struct table *table = table_create("REQUEST|STATE|BY|DECIDED BY|UNTIL|WHAT|IN FULL");
    json_array_foreach (approvals, index, approval) {
        table_take(table, short_id(approval));
        table_add(table, cli_text(approval, "state"));
        table_add(table, cli_text(approval, "requested_by"));
        table_add(table, cli_text(approval, "decided_by"));
        table_take(table, text_time(cli_text(approval, "expires")));
        table_add(table, cli_text(approval, "what"));
        table_take(table, request_text(approval));
    }
    table_print(table, "Nothing waits for approval.", cli->out);
    table_destroy(table);
    json_decref(approvals);
    return 0;
}

int run_approval_approve(struct cli *cli, struct failure *failure)
{
    return act_on(cli, "POST", client_path("/v1/approvals/%s/approve", arguments_at(cli->arguments, 0)),
                  "is approved, and done", failure);
}

int run_approval_reject(struct cli *cli, struct failure *failure)
{
    return act_on(cli, "POST", client_path("/v1/approvals/%s/reject", arguments_at(cli->arguments, 0)),
                  "is rejected", failure);
}
