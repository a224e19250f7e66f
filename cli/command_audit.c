/* The audit record. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/query.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

static void print_entries(const struct cli *cli, json_t *entries)
{
    size_t index;
    json_t *entry;
    struct table *table = table_create(">ENTRY|TIME|WHO|FROM|WHAT|OBJECT|OUTCOME|CODE");
    json_array_foreach (entries, index, entry) {
        table_add(table, cli_text(entry, "id"));
        table_take(table, text_time(cli_text(entry, "time")));
        table_add(table, cli_text(entry, "actor"));
        table_add(table, cli_text(entry, "address"));
        table_add(table, cli_text(entry, "action"));
        table_add(table, cli_text(entry, "object"));
        table_add(table, cli_text(entry, "outcome"));
        table_add(table, cli_text(entry, "code"));
    }
    table_print(table, "Nothing that fits is on record.", cli->out);
    table_destroy(table);
}

int run_audit_list(struct cli *cli, struct failure *failure)
{
    enum { LIMIT = 50, LIMIT_MAX = 1000000 };
    static const char *const names[] = {"since", "until", "actor", "object", NULL};
    json_t *entries = NULL;
    long limit = LIMIT;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || arguments_number(cli->arguments, "limit", 1, LIMIT_MAX, &limit, failure) < 0) {
        return -1;
    }
    char *path = query_path("/v1/audit", cli->arguments, names,
                            arguments_flag(cli->arguments, "all") ? "all=true" : NULL);
    int result = client_list(client, path, (size_t)limit, &entries, failure);
    free(path);
    if (result == 0 && cli->json) {
        cli_print_items(cli, entries);
    } else if (result == 0) {
        print_entries(cli, entries);
        json_decref(entries);
    }
    return result;
}

static int tell_verdict(struct cli *cli, const json_t *verdict, struct failure *failure)
{
    if (cli->json) {
        cli_print_json(cli, verdict);
    } else {
        cli_take_field(cli, "Entries",
                       memory_format("%llu to %llu", (unsigned long long)cli_number(verdict, "first"),
                                     (unsigned long long)cli_number(verdict, "last")));
        cli_take_field(cli, "Head",
                       memory_format("%llu %s", (unsigned long long)cli_number(verdict, "head.number"),
                                     cli_text(verdict, "head.hash")));
        cli_print_field(cli, "Record", cli_truth(verdict, "whole") ? "whole" : "broken");
    }
    return cli_truth(verdict, "whole")
               ? 0
               : failure_set(failure, ERROR_AUDIT_BROKEN, "Entry %llu of the audit record: %s",
                             (unsigned long long)cli_number(verdict, "broken"), cli_text(verdict, "reason"));
}

int run_audit_verify(struct cli *cli, struct failure *failure)
{
    static const char *const names[] = {"head", NULL};
    json_t *verdict = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        return -1;
    }
    char *path = query_path("/v1/audit/verify", cli->arguments, names, NULL);
    int result = client_call(client, "GET", path, NULL, &verdict, failure);
    free(path);
    if (result == 0) {
        result = tell_verdict(cli, verdict, failure);
    }
    json_decref(verdict);
    return result;
}
