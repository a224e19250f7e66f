/* Backups and consistency checks on demand. */
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"

static int start(struct cli *cli, const char *path, json_t *body, bool group, struct failure *failure)
{
    json_t *reply = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    if (client_call(client, "POST", path, body, &reply, failure) != 0) {
        return -1;
    }
    if (group) {
        return cli_finish_jobs(cli, reply, failure);
    }
    json_t *job = json_incref(json_array_get(json_object_get(reply, "items"), 0));
    json_decref(reply);
    return cli_finish_job(cli, job, failure);
}

int run_backup(struct cli *cli, struct failure *failure)
{
    const char *vm = arguments_at(cli->arguments, 0);
    const char *group = arguments_value(cli->arguments, "group");
    const char *retain = arguments_value(cli->arguments, "retain-until");
    const char *at = arguments_value(cli->arguments, "at");
    if ((vm == NULL) == (group == NULL)) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "Name either a VM or --group GROUP");
    }
    json_t *body = json_pack("{s:s}", vm != NULL ? "vm" : "group", vm != NULL ? vm : group);
    if (arguments_flag(cli->arguments, "full")) {
        json_object_set_new(body, "full", json_true());
    }
    if (arguments_flag(cli->arguments, "notify")) {
        json_object_set_new(body, "notify", json_true());
    }
    if (retain != NULL) {
        json_object_set_new(body, "retain_until", json_string(retain));
    }
    if (at != NULL) {
        json_object_set_new(body, "at", json_string(at));
    }
    if (cli_add_rate(body, "bandwidth", arguments_value(cli->arguments, "bandwidth"), failure) != 0) {
        json_decref(body);
        return -1;
    }
    return start(cli, "/v1/backups", body, group != NULL, failure);
}

int run_check(struct cli *cli, struct failure *failure)
{
    json_t *body = json_pack("{s:s}", "vm", arguments_at(cli->arguments, 0));
    return start(cli, "/v1/checks", body, false, failure);
}
