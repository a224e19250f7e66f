/* How long recovery points stay: holds, dates, deleting and taking back. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

int run_rp_hold(struct cli *cli, struct failure *failure)
{
    json_t *point = NULL;
    bool release = arguments_flag(cli->arguments, "release");
    if (cli_call_point(cli, arguments_at(cli->arguments, 0), "POST", "/hold",
                       json_pack("{s:b}", "held", !release), &point, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, point);
    } else {
        fprintf(cli->out, "Recovery point %s %s.\n", arguments_at(cli->arguments, 0),
                release ? "is no longer on hold" : "is on hold: it stays until that is released");
    }
    json_decref(point);
    return 0;
}

int run_rp_retain(struct cli *cli, struct failure *failure)
{
    json_t *point = NULL;
    const char *id = arguments_at(cli->arguments, 0);
    const char *until = arguments_at(cli->arguments, 1);
    json_t *body = json_object();
    json_object_set_new(body, "until", strcmp(until, "none") == 0 ? json_null() : json_string(until));
    if (cli_call_point(cli, id, "POST", "/retain", body, &point, failure) != 0) {
        return -1;
    }
    char *time = text_time(cli_text(point, "retain_until"));
    if (cli->json) {
        cli_print_json(cli, point);
    } else if (cli_text(point, "retain_until") == NULL) {
        fprintf(cli->out, "How long recovery point %s stays is for its policy to say.\n", id);
    } else {
        fprintf(cli->out, "Recovery point %s stays until %s at least.\n", id, time);
    }
    free(time);
    json_decref(point);
    return 0;
}

static void tell_deleted(const struct cli *cli, const char *id, const json_t *reply)
{
    const char *purge = cli_text(reply, "purge");
    char *time = text_time(purge);
    if (purge == NULL) {
        fprintf(cli->out, "Recovery point %s is deleted for good.\n", id);
    } else {
        fprintf(cli->out, "Recovery point %s is deleted. Until %s `holdfast rp undelete %s` takes it back.\n",
                id, time, id);
    }
    free(time);
}

int run_rp_delete(struct cli *cli, struct failure *failure)
{
    json_t *reply = NULL;
    const char *id = arguments_at(cli->arguments, 0);
    bool now = arguments_flag(cli->arguments, "now");
    bool force = arguments_flag(cli->arguments, "force");
    char *end = memory_format("?now=%s&force=%s", now ? "true" : "false", force ? "true" : "false");
    int result = cli_call_point(cli, id, "DELETE", end, NULL, &reply, failure);
    free(end);
    if (result == 0 && cli->json) {
        json_object_set_new(reply, "deleted", json_string(id));
        cli_print_json(cli, reply);
    } else if (result == 0) {
        tell_deleted(cli, id, reply);
    }
    json_decref(reply);
    return result;
}

int run_rp_undelete(struct cli *cli, struct failure *failure)
{
    json_t *points = json_array();
    for (size_t i = 0; i < arguments_count(cli->arguments); i++) {
        json_t *point = NULL;
        const char *id = arguments_at(cli->arguments, i);
        if (cli_call_point(cli, id, "POST", "/undelete", NULL, &point, failure) != 0) {
            json_decref(points);
            return -1;
        }
        json_array_append_new(points, point);
        if (!cli->json) {
            fprintf(cli->out, "Recovery point %s is back.\n", id);
        }
    }
    if (cli->json) {
        cli_print_items(cli, points);
        return 0;
    }
    json_decref(points);
    return 0;
}
