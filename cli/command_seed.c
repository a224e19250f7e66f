/* The first copy of a VM, from a recovery point instead of over the network. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include <stdlib.h>
#include <string.h>

static json_t *seed_body(const struct cli *cli, struct failure *failure)
{
    const char *from = arguments_value(cli->arguments, "from");
    bool forget = arguments_flag(cli->arguments, "forget");
    if (forget == (from != NULL)) {
        failure_set(failure, ERROR_REQUEST_INVALID, "Say either --from RP or --forget");
        return NULL;
    }
    json_t *body = json_object();
    if (from != NULL) {
        json_object_set_new(body, "point", json_string(from));
        if (cli_add_pairs(body, "disks", cli, "disk", "DISK=DISK", failure) != 0) {
            json_decref(body);
            return NULL;
        }
    }
    return body;
}

int run_seed(struct cli *cli, struct failure *failure)
{
    json_t *vm = NULL;
    const char *name = arguments_at(cli->arguments, 0);
    bool forget = arguments_flag(cli->arguments, "forget");
    json_t *body = seed_body(cli, failure);
    struct client *client = body != NULL ? cli_client(cli, failure) : NULL;
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    if (forget) {
        json_decref(body);
        body = NULL;
    }
    char *path = client_path("/v1/vms/%s/seed", name);
    int result = client_call(client, forget ? "DELETE" : "POST", path, body, &vm, failure);
    free(path);
    if (result != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, vm);
    } else if (forget) {
        fprintf(cli->out, "%s is not seeded: its first backup sends everything.\n", name);
    } else {
        fprintf(cli->out, "%s is seeded from recovery point %s: its first backup sends only what differs.\n",
                name, cli_text(vm, "seed"));
    }
    json_decref(vm);
    return 0;
}
