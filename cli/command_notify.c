/* Who is told of alerts, jobs and the day. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

static char *join(const json_t *items)
{
    size_t index;
    json_t *item;
    char *text = memory_copy_text("");
    json_array_foreach ((json_t *)(uintptr_t)items, index, item) {
        char *longer = memory_format("%s%s%s", text, index > 0 ? ", " : "", json_string_value(item));
        free(text);
        text = longer;
    }
    return text;
}

static char *receiver_of(const json_t *item)
{
    const char *url = cli_text(item, "url");
    return url != NULL ? memory_copy_text(url) : join(cli_member(item, "to"));
}

static const char *state_of(const json_t *item)
{
    return !cli_truth(item, "enabled") ? "disabled" : cli_number(item, "failures") > 0 ? "failing" : "ready";
}

int run_notify_list(struct cli *cli, struct failure *failure)
{
    json_t *items = NULL;
    size_t index;
    json_t *item;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_list(client, "/v1/notifications", 0, &items, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, items);
        return 0;
    }
    struct table *table = table_create("NAME|KIND|STATE|SEVERITY|EVENTS|>WAITING|LAST DELIVERED|TO");
    json_array_foreach (items, index, item) {
        table_add(table, cli_text(item, "name"));
        table_add(table, cli_text(item, "kind"));
        table_add(table, state_of(item));
        table_add(table, cli_text(item, "severity"));
        table_take(table, join(cli_member(item, "events")));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(item, "waiting")));
        table_take(table, text_time(cli_text(item, "delivered")));
        table_take(table, receiver_of(item));
    }
    table_print(table, "Nobody is told. Begin: holdfast notify create NAME", cli->out);
    table_destroy(table);
    json_decref(items);
    return 0;
}

static void print_notification(const struct cli *cli, const json_t *item)
{
    cli_print_field(cli, "Notification", cli_text(item, "name"));
    cli_print_field(cli, "Kind", cli_text(item, "kind"));
    cli_print_field(cli, "State", state_of(item));
    cli_take_field(cli, "To", receiver_of(item));
    if (cli_text(item, "server") != NULL) {
        cli_print_field(cli, "From", cli_text(item, "from"));
        cli_take_field(cli, "By",
                       memory_format("%s (%s)", cli_text(item, "server"), cli_text(item, "security")));
        cli_print_field(cli, "User", cli_text(item, "user"));
    }
    cli_print_field(cli, "Secret", cli_truth(item, "has_secret") ? "set" : "none");
    cli_print_field(cli, "Authorities", cli_truth(item, "has_authorities") ? "its own" : "the system's");
    cli_take_field(cli, "Events", join(cli_member(item, "events")));
    cli_print_field(cli, "Severity", cli_text(item, "severity"));
    cli_take_field(cli, "Digest at",
                   memory_format("%s %s", cli_text(item, "digest_time"), cli_text(item, "digest_timezone")));
    cli_take_field(cli, "Waiting", memory_format("%llu", (unsigned long long)cli_number(item, "waiting")));
    cli_take_field(cli, "Last delivered", text_time(cli_text(item, "delivered")));
    if (cli_text(item, "failing_since") != NULL) {
        cli_take_field(cli, "Failing since", text_time(cli_text(item, "failing_since")));
        cli_take_field(cli, "Tries", memory_format("%llu", (unsigned long long)cli_number(item, "failures")));
        cli_take_field(cli, "Given up", memory_format("%llu", (unsigned long long)cli_number(item, "lost")));
        cli_print_field(cli, "Because", cli_text(item, "last_error"));
    }
}

static int show(struct cli *cli, json_t *item)
{
    if (cli->json) {
        cli_print_json(cli, item);
    } else {
        print_notification(cli, item);
    }
    json_decref(item);
    return 0;
}

/* Takes the body over. */
static int call_one(struct cli *cli, const char *method, const char *end, json_t *body, json_t **item,
                    struct failure *failure)
{
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    char *encoded = client_path("/v1/notifications/%s", arguments_at(cli->arguments, 0));
    char *path = memory_format("%s%s", encoded, end);
    int result = client_call(client, method, path, body, item, failure);
    free(encoded);
    free(path);
    return result;
}

int run_notify_show(struct cli *cli, struct failure *failure)
{
    json_t *item = NULL;
    return call_one(cli, "GET", "", NULL, &item, failure) == 0 ? show(cli, item) : -1;
}

/* A member from an option that names a file. */
static int add_file(json_t *body, const char *name, const char *path, struct failure *failure)
{
    char *text = path != NULL ? settings_read_text(path, failure) : NULL;
    if (path == NULL) {
        return 0;
    }
    if (text == NULL) {
        return -1;
    }
    json_object_set_new(body, name, json_string(text));
    memset(text, 0, strlen(text));
    free(text);
    return 0;
}

static void add_list(json_t *body, const char *name, const struct arguments *arguments, const char *option)
{
    json_t *items = json_array();
    const char *value;
    for (size_t i = 0; (value = arguments_value_at(arguments, option, i)) != NULL; i++) {
        json_array_append_new(items, json_string(value));
    }
    if (json_array_size(items) > 0) {
        json_object_set(body, name, items);
    }
    json_decref(items);
}

static json_t *read_body(const struct cli *cli, struct failure *failure)
{
    static const char *const texts[][2] = {{"from", "from"},
                                           {"server", "server"},
                                           {"security", "security"},
                                           {"user", "user"},
                                           {"url", "url"},
                                           {"severity", "severity"},
                                           {"digest-at", "digest_time"},
                                           {"timezone", "digest_timezone"}};
    const struct arguments *arguments = cli->arguments;
    json_t *body = json_object();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *value = arguments_value(arguments, texts[i][0]);
        if (value != NULL) {
            json_object_set_new(body, texts[i][1], json_string(value));
        }
    }
    add_list(body, "to", arguments, "mail");
    add_list(body, "events", arguments, "event");
    if (add_file(body, "secret", arguments_value(arguments, "secret-file"), failure) != 0 ||
        add_file(body, "authorities", arguments_value(arguments, "ca"), failure) != 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}

int run_notify_create(struct cli *cli, struct failure *failure)
{
    json_t *item = NULL;
    bool mail = arguments_value(cli->arguments, "mail") != NULL;
    if (mail == (arguments_value(cli->arguments, "url") != NULL)) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "Say whom to tell: --mail ADDRESS or --url URL");
    }
    struct client *client = cli_client(cli, failure);
    json_t *body = client != NULL ? read_body(cli, failure) : NULL;
    if (body == NULL) {
        return -1;
    }
    json_object_set_new(body, "name", json_string(arguments_at(cli->arguments, 0)));
    json_object_set_new(body, "kind", json_string(mail ? "mail" : "webhook"));
    return client_call(client, "POST", "/v1/notifications", body, &item, failure) == 0 ? show(cli, item) : -1;
}

int run_notify_edit(struct cli *cli, struct failure *failure)
{
    json_t *item = NULL;
    const char *name = arguments_value(cli->arguments, "name");
    bool enable = arguments_flag(cli->arguments, "enable");
    bool disable = arguments_flag(cli->arguments, "disable");
    if (enable && disable) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "Of --enable and --disable only one can be given");
    }
    json_t *body = read_body(cli, failure);
    if (body == NULL) {
        return -1;
    }
    if (enable || disable) {
        json_object_set_new(body, "enabled", json_boolean(enable));
    }
    if (name != NULL) {
        json_object_set_new(body, "name", json_string(name));
    }
    if (json_object_size(body) == 0) {
        json_decref(body);
        return failure_set(failure, ERROR_REQUEST_INVALID, "Nothing to change was named");
    }
    return call_one(cli, "PATCH", "", body, &item, failure) == 0 ? show(cli, item) : -1;
}

static int tell(struct cli *cli, const char *name, const char *said)
{
    if (cli->json) {
        json_t *answer = json_pack("{s:s}", name, arguments_at(cli->arguments, 0));
        cli_print_json(cli, answer);
        json_decref(answer);
    } else {
        fprintf(cli->out, "%s %s.\n", arguments_at(cli->arguments, 0), said);
    }
    return 0;
}

int run_notify_delete(struct cli *cli, struct failure *failure)
{
    return call_one(cli, "DELETE", "", NULL, NULL, failure) == 0 ? tell(cli, "deleted", "is told no more")
                                                                 : -1;
}

int run_notify_test(struct cli *cli, struct failure *failure)
{
    return call_one(cli, "POST", "/test", NULL, NULL, failure) == 0
               ? tell(cli, "delivered", "was sent a test: its server has taken it")
               : -1;
}

int run_notify_preview_digest(struct cli *cli, struct failure *failure)
{
    json_t *digest = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_call(client, "GET", "/v1/digest", NULL, &digest, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, digest);
    } else if (arguments_flag(cli->arguments, "html")) {
        fputs(cli_text(digest, "html"), cli->out);
    } else {
        fprintf(cli->out, "%s\n\n%s", cli_text(digest, "subject"), cli_text(digest, "text"));
    }
    json_decref(digest);
    return 0;
}
