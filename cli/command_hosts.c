/* Hosts and VMs. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *join_words(const json_t *words)
{
    char *text = memory_copy_text("");
    size_t index;
    json_t *word;
    json_array_foreach ((json_t *)(uintptr_t)words, index, word) {
        char *longer = memory_format("%s%s%s", text, index > 0 ? " " : "", json_string_value(word));
        free(text);
        text = longer;
    }
    return text;
}

int run_host_token(struct cli *cli, struct failure *failure)
{
    enum { TTL_MAX_S = 30 * 24 * 60 * 60 };
    long ttl = 0;
    json_t *reply = NULL;
    struct client *client = cli_client(cli, failure);
    int given = arguments_number(cli->arguments, "ttl", 1, TTL_MAX_S, &ttl, failure);
    if (client == NULL || given < 0) {
        return -1;
    }
    json_t *body = given > 0 ? json_pack("{s:I}", "ttl_seconds", (json_int_t)ttl) : json_object();
    if (client_call(client, "POST", "/v1/host-tokens", body, &reply, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, reply);
    } else {
        cli_print_field(cli, "Token", cli_text(reply, "token"));
        cli_take_field(cli, "Works once, until", text_time(cli_text(reply, "expires")));
        fputs("\nOn the host:  holdfast-agent enrol SERVER:7460 --token TOKEN\n", cli->out);
    }
    json_decref(reply);
    return 0;
}

static int fetch_hosts(struct cli *cli, json_t **hosts, struct failure *failure)
{
    struct client *client = cli_client(cli, failure);
    return client != NULL ? client_list(client, "/v1/hosts", 0, hosts, failure) : -1;
}

int run_host_list(struct cli *cli, struct failure *failure)
{
    json_t *hosts = NULL;
    size_t index;
    json_t *host;
    if (fetch_hosts(cli, &hosts, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, hosts);
        return 0;
    }
    struct table *table = table_create("HOST|STATE|SINCE|KINDS|VERSION|ADDRESS");
    json_array_foreach (hosts, index, host) {
        table_add(table, cli_text(host, "name"));
        table_add(table, cli_text(host, "state"));
        table_take(table, text_time(cli_text(host, "since")));
        table_take(table, join_words(cli_member(host, "kinds")));
        table_add(table, cli_text(host, "version"));
        table_add(table, cli_text(host, "address"));
    }
    table_print(table, "No host is enrolled yet. Make a token: holdfast host token", cli->out);
    table_destroy(table);
    json_decref(hosts);
    return 0;
}

static char *rate_text(uint64_t rate)
{
    char *size = rate > 0 ? text_size(rate) : NULL;
    char *text = rate > 0 ? memory_format("%s/s", size) : memory_copy_text("no limit");
    free(size);
    return text;
}

static char *bandwidth_text(const json_t *limit)
{
    if (!json_is_object(limit)) {
        return memory_copy_text("no limit");
    }
    uint64_t rate = cli_number(limit, "bytes_per_second");
    uint64_t other = cli_number(limit, "other_bytes_per_second");
    char *first = rate_text(rate);
    char *second = rate_text(other);
    char *days = text_days((unsigned)cli_number(limit, "days"));
    char *text = rate == other ? memory_copy_text(first)
                               : memory_format("%s at %s, %s, %s; else %s", first, cli_text(limit, "hours"),
                                               days, cli_text(limit, "timezone"), second);
    free(first);
    free(second);
    free(days);
    return text;
}

static void print_host(const struct cli *cli, const json_t *host)
{
    if (cli->json) {
        cli_print_json(cli, host);
        return;
    }
    cli_print_field(cli, "Host", cli_text(host, "name"));
    cli_print_field(cli, "Id", cli_text(host, "id"));
    cli_print_field(cli, "State", cli_text(host, "state"));
    cli_take_field(cli, "Since", text_time(cli_text(host, "since")));
    cli_take_field(cli, "Last seen", text_time(cli_text(host, "last_seen")));
    cli_print_field(cli, "Address", cli_text(host, "address"));
    cli_print_field(cli, "System", cli_text(host, "system"));
    cli_print_field(cli, "Agent", cli_text(host, "version"));
    cli_take_field(cli, "Kinds", join_words(cli_member(host, "kinds")));
    cli_take_field(cli, "Enrolled", text_time(cli_text(host, "enrolled")));
    cli_take_field(cli, "Certificate until", text_time(cli_text(host, "certificate_expires")));
    cli_take_field(cli, "Bandwidth", bandwidth_text(cli_member(host, "bandwidth")));
    cli_print_field(cli, "Jobs", cli_truth(host, "draining") ? "drained: none starts" : "start");
}

/* action: NULL for the host itself. */
static int call_host(struct cli *cli, const char *method, const char *action, struct failure *failure)
{
    json_t *host = NULL;
    struct client *client = cli_client(cli, failure);
    const char *name = arguments_at(cli->arguments, 0);
    char *path =
        action != NULL ? client_path("/v1/hosts/%s/%s", name, action) : client_path("/v1/hosts/%s", name);
    int result = client != NULL ? client_call(client, method, path, NULL, &host, failure) : -1;
    free(path);
    if (result == 0) {
        print_host(cli, host);
    }
    json_decref(host);
    return result;
}

int run_host_show(struct cli *cli, struct failure *failure)
{
    return call_host(cli, "GET", NULL, failure);
}

int run_host_retire(struct cli *cli, struct failure *failure)
{
    return call_host(cli, "POST", "retire", failure);
}

static int read_limit(const struct cli *cli, json_t *body, struct failure *failure)
{
    const struct arguments *arguments = cli->arguments;
    const char *hours = arguments_value(arguments, "hours");
    const char *days = arguments_value(arguments, "days");
    const char *zone = arguments_value(arguments, "timezone");
    if (cli_add_rate(body, "bytes_per_second", arguments_at(arguments, 1), failure) != 0 ||
        cli_add_rate(body, "other_bytes_per_second", arguments_value(arguments, "other"), failure) != 0) {
        return -1;
    }
    if (days != NULL && text_parse_days(days) < 0) {
        return failure_set(failure, ERROR_SCHEDULE_INVALID, "“%s” are no days: mon,tue,wed,thu,fri,sat,sun",
                           days);
    }
    if (days != NULL) {
        json_object_set_new(body, "days", json_integer(text_parse_days(days)));
    }
    if (hours != NULL) {
        json_object_set_new(body, "hours", json_string(hours));
    }
    if (zone != NULL) {
        json_object_set_new(body, "timezone", json_string(zone));
    }
    return 0;
}

int run_host_limit(struct cli *cli, struct failure *failure)
{
    json_t *host = NULL;
    json_t *body = json_object();
    struct client *client = read_limit(cli, body, failure) == 0 ? cli_client(cli, failure) : NULL;
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    char *path = client_path("/v1/hosts/%s/bandwidth", arguments_at(cli->arguments, 0));
    int result = client_call(client, "POST", path, body, &host, failure);
    free(path);
    if (result == 0) {
        print_host(cli, host);
    }
    json_decref(host);
    return result;
}

/* Until the jobs that a drained host runs have ended. */
static int wait_drained(struct cli *cli, json_t **host, struct failure *failure)
{
    enum { ASK_EVERY_MS = 500 };
    char *path = client_path("/v1/hosts/%s", arguments_at(cli->arguments, 0));
    int result = 0;
    while (result == 0 && cli_number(*host, "running_jobs") > 0) {
        const struct timespec pause = {.tv_nsec = ASK_EVERY_MS * 1000000L};
        nanosleep(&pause, NULL);
        json_decref(*host);
        *host = NULL;
        result = client_call(cli->client, "GET", path, NULL, host, failure);
    }
    free(path);
    return result;
}

int run_host_drain(struct cli *cli, struct failure *failure)
{
    json_t *host = NULL;
    struct client *client = cli_client(cli, failure);
    char *path = client_path("/v1/hosts/%s/drain", arguments_at(cli->arguments, 0));
    int result = client != NULL ? client_call(client, "POST", path, NULL, &host, failure) : -1;
    free(path);
    if (result == 0 && arguments_flag(cli->arguments, "wait")) {
        result = wait_drained(cli, &host, failure);
    }
    if (result == 0) {
        print_host(cli, host);
        if (!cli->json && cli_number(host, "running_jobs") > 0) {
            fprintf(cli->out, "\n%llu jobs still run there; --wait waits for them.\n",
                    (unsigned long long)cli_number(host, "running_jobs"));
        }
    }
    json_decref(host);
    return result;
}

int run_host_resume(struct cli *cli, struct failure *failure)
{
    return call_host(cli, "POST", "resume", failure);
}

/* --- VMs */

static char *vm_reference(const json_t *vm)
{
    const char *host = cli_text(vm, "host");
    const char *name = cli_text(vm, "name");
    return memory_format("%s/%s", host != NULL ? host : "-", name != NULL ? name : "-");
}

static char *list_path(const struct cli *cli)
{
    static const char *const filters[] = {"host", "group", "search"};
    char *path = memory_copy_text("/v1/vms");
    bool first = true;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        const char *value = arguments_value(cli->arguments, filters[i]);
        if (value != NULL) {
            char *encoded = client_path("%s", value);
            char *longer = memory_format("%s%c%s=%s", path, first ? '?' : '&', filters[i], encoded);
            free(encoded);
            free(path);
            path = longer;
            first = false;
        }
    }
    return path;
}

static void print_vms(const struct cli *cli, json_t *vms)
{
    size_t index;
    json_t *vm;
    struct table *table = table_create("VM|KIND|POWER|>SIZE|>DISKS|GUEST AGENT|PROTECTION|GROUP|LAST POINT");
    json_array_foreach (vms, index, vm) {
        table_take(table, vm_reference(vm));
        table_add(table, cli_text(vm, "kind"));
        table_add(table, cli_truth(vm, "present")      ? cli_text(vm, "power")
                         : cli_truth(vm, "moved_away") ? "moved away"
                                                       : "gone");
        table_take(table, text_size(cli_number(vm, "size")));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(vm, "disk_count")));
        table_add(table, cli_text(vm, "guest_agent"));
        table_add(table, cli_text(vm, "protection"));
        table_add(table, cli_text(vm, "group"));
        table_take(table, text_time(cli_text(vm, "last_point_time")));
    }
    table_print(table, "No VM is known. Look for them: holdfast vm discover", cli->out);
    table_destroy(table);
}

int run_vm_list(struct cli *cli, struct failure *failure)
{
    json_t *vms = NULL;
    struct client *client = cli_client(cli, failure);
    char *path = list_path(cli);
    int result = client != NULL ? client_list(client, path, 0, &vms, failure) : -1;
    free(path);
    if (result == 0 && cli->json) {
        cli_print_items(cli, vms);
    } else if (result == 0) {
        print_vms(cli, vms);
        json_decref(vms);
    }
    return result;
}

static int discover_host(struct cli *cli, const char *name, struct failure *failure)
{
    char *path = client_path("/v1/hosts/%s/discover", name);
    int result = client_call(cli->client, "POST", path, NULL, NULL, failure);
    free(path);
    return result;
}

/* Every connected host; the first failure is told when all have been asked. */
static int discover_all(struct cli *cli, struct failure *failure)
{
    json_t *hosts = NULL;
    size_t index;
    json_t *host;
    int result = 0;
    if (fetch_hosts(cli, &hosts, failure) != 0) {
        return -1;
    }
    json_array_foreach (hosts, index, host) {
        struct failure one;
        const char *state = cli_text(host, "state");
        const char *id = cli_text(host, "id");
        if (state != NULL && id != NULL && strcmp(state, "connected") == 0 &&
            discover_host(cli, id, &one) != 0) {
            *failure = result == 0 ? one : *failure;
            result = -1;
        }
    }
    json_decref(hosts);
    return result;
}

int run_vm_discover(struct cli *cli, struct failure *failure)
{
    json_t *vms = NULL;
    const char *host = arguments_at(cli->arguments, 0);
    if (cli_client(cli, failure) == NULL) {
        return -1;
    }
    if ((host != NULL ? discover_host(cli, host, failure) : discover_all(cli, failure)) != 0) {
        return -1;
    }
    char *path = host != NULL ? client_path("/v1/vms?host=%s", host) : memory_copy_text("/v1/vms");
    int result = client_list(cli->client, path, 0, &vms, failure);
    free(path);
    if (result == 0 && cli->json) {
        cli_print_items(cli, vms);
    } else if (result == 0) {
        print_vms(cli, vms);
        json_decref(vms);
    }
    return result;
}

static void print_disks(const struct cli *cli, const json_t *disks)
{
    size_t index;
    json_t *disk;
    struct table *table = table_create("DISK|>SIZE|FORMAT|PROTECTED|PATH");
    json_array_foreach ((json_t *)(uintptr_t)disks, index, disk) {
        const char *reason = cli_text(disk, "reason");
        table_add(table, cli_text(disk, "name"));
        table_take(table, text_size(cli_number(disk, "size")));
        table_add(table, cli_text(disk, "format"));
        table_take(table, cli_truth(disk, "supported")
                              ? memory_copy_text("yes")
                              : memory_format("no: %s", reason != NULL ? reason : "?"));
        table_add(table, cli_text(disk, "path"));
    }
    fputc('\n', cli->out);
    table_print(table, "It has no disks.", cli->out);
    table_destroy(table);
}

static const char *protection_text(const char *protection)
{
    return protection != NULL && strcmp(protection, "waiting") == 0 ? "protected, waiting for initial backup"
                                                                    : protection;
}

int run_vm_show(struct cli *cli, struct failure *failure)
{
    json_t *vm = NULL;
    struct client *client = cli_client(cli, failure);
    char *path = client_path("/v1/vms/%s", arguments_at(cli->arguments, 0));
    int result = client != NULL ? client_call(client, "GET", path, NULL, &vm, failure) : -1;
    free(path);
    if (result != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, vm);
    } else {
        cli_take_field(cli, "VM", vm_reference(vm));
        cli_print_field(cli, "Id", cli_text(vm, "id"));
        cli_print_field(cli, "UUID", cli_text(vm, "uuid"));
        cli_print_field(cli, "Kind", cli_text(vm, "kind"));
        cli_print_field(cli, "Power",
                        cli_truth(vm, "present")      ? cli_text(vm, "power")
                        : cli_truth(vm, "moved_away") ? "moved away from its host"
                                                      : "gone from its host");
        cli_print_field(cli, "Guest agent", cli_text(vm, "guest_agent"));
        cli_print_field(cli, "Change tracking", cli_text(vm, "tracking"));
        cli_print_field(cli, "Protection", protection_text(cli_text(vm, "protection")));
        cli_print_field(cli, "Group", cli_text(vm, "group"));
        cli_take_field(cli, "Recovery points",
                       memory_format("%llu", (unsigned long long)cli_number(vm, "points")));
        cli_take_field(cli, "Last point", text_time(cli_text(vm, "last_point_time")));
        if (cli_text(vm, "seed") != NULL) {
            cli_print_field(cli, "Seeded from", cli_text(vm, "seed"));
        }
        print_disks(cli, cli_member(vm, "disks"));
    }
    json_decref(vm);
    return 0;
}
