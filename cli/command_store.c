#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

static char *forecast_text(const json_t *capacity)
{
    const char *forecast = cli_text(capacity, "forecast");
    if (forecast != NULL && strcmp(forecast, "grows") == 0) {
        char *growth = text_size(cli_number(capacity, "growth_bytes_per_day"));
        char *full = text_time(cli_text(capacity, "full"));
        char *text = memory_format("grows by %s a day; full about %s", growth, full);
        free(growth);
        free(full);
        return text;
    }
    return memory_copy_text(forecast != NULL && strcmp(forecast, "steady") == 0
                                ? "does not grow"
                                : "not enough history yet: a week at least is needed");
}

static void print_capacity(const struct cli *cli, const json_t *capacity)
{
    const char *reason = cli_text(capacity, "reason");
    char *reserve = text_size(cli_number(capacity, "reserve.bytes"));
    cli_take_field(cli, "Room",
                   memory_format("%s%s%s", cli_text(capacity, "state"), reason != NULL ? ": " : "",
                                 reason != NULL ? reason : ""));
    cli_take_field(cli, "Forecast", forecast_text(capacity));
    cli_take_field(
        cli, "Reserve",
        memory_format("%s%s", reserve,
                      cli_truth(capacity, "reserve.held") ? "" : ", released: the disk is or was full"));
    free(reserve);
}

int run_store_status(struct cli *cli, struct failure *failure)
{
    json_t *store = NULL;
    struct client *client = cli_client(cli, failure);
    json_t *capacity = NULL;
    if (client == NULL || client_call(client, "GET", "/v1/store", NULL, &store, failure) != 0) {
        return -1;
    }
    if (client_call(client, "GET", "/v1/store/capacity", NULL, &capacity, failure) != 0) {
        json_decref(store);
        return -1;
    }
    json_object_set_new(store, "capacity", capacity);
    if (cli->json) {
        cli_print_json(cli, store);
    } else {
        cli_print_field(cli, "Store", cli_text(store, "id"));
        cli_take_field(cli, "Stored", text_size(cli_number(store, "stored_bytes")));
        cli_take_field(cli, "Holds", text_size(cli_number(store, "chunk_bytes")));
        cli_take_field(cli, "Free", text_size(cli_number(store, "free_bytes")));
        cli_take_field(cli, "Of", text_size(cli_number(store, "total_bytes")));
        print_capacity(cli, cli_member(store, "capacity"));
        cli_take_field(cli, "Index", text_size(cli_number(store, "index_bytes")));
        cli_take_field(cli, "Containers",
                       memory_format("%llu", (unsigned long long)cli_number(store, "containers")));
        cli_take_field(cli, "Chunks", memory_format("%llu", (unsigned long long)cli_number(store, "chunks")));
        cli_take_field(cli, "Recovery points",
                       memory_format("%llu", (unsigned long long)cli_number(store, "points")));
        cli_take_field(cli, "Damaged chunks",
                       memory_format("%llu", (unsigned long long)cli_number(store, "damaged_chunks")));
    }
    json_decref(store);
    return 0;
}

/* Takes the body over; NULL for none. */
static int start(struct cli *cli, const char *path, json_t *body, struct failure *failure)
{
    json_t *job = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    if (client_call(client, "POST", path, body, &job, failure) != 0) {
        return -1;
    }
    return cli_finish_job(cli, job, failure);
}

int run_store_verify(struct cli *cli, struct failure *failure)
{
    return start(cli, "/v1/store/verify", NULL, failure);
}

int run_store_rebuild(struct cli *cli, struct failure *failure)
{
    return start(cli, "/v1/store/rebuild", NULL, failure);
}

int run_store_gc(struct cli *cli, struct failure *failure)
{
    json_t *body = json_pack("{s:b}", "dry_run", arguments_flag(cli->arguments, "dry-run"));
    return start(cli, "/v1/store/collect", body, failure);
}
