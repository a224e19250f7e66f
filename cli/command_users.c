/* Users, and what everyone changes about himself. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/prompt.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>

static char *groups_text(const json_t *user)
{
    const json_t *groups = cli_member(user, "groups");
    size_t index;
    json_t *group;
    if (!json_is_array(groups)) {
        return memory_copy_text("everything");
    }
    char *text = memory_copy_text("");
    json_array_foreach ((json_t *)(uintptr_t)groups, index, group) {
        const char *name = json_string_value(group);
        char *longer = memory_format("%s%s%s", text, index > 0 ? " " : "", name != NULL ? name : "");
        free(text);
        text = longer;
    }
    return text;
}

static void print_user(const struct cli *cli, const json_t *user)
{
    if (cli->json) {
        cli_print_json(cli, user);
        return;
    }
    cli_print_field(cli, "User", cli_text(user, "name"));
    cli_print_field(cli, "Id", cli_text(user, "id"));
    cli_print_field(cli, "Role", cli_text(user, "role"));
    cli_take_field(cli, "Groups", groups_text(user));
    cli_print_field(cli, "State", cli_truth(user, "disabled") ? "disabled" : "enabled");
    cli_print_field(cli, "Password", cli_truth(user, "has_password") ? "set" : "none");
    cli_print_field(cli, "Second factor", cli_text(user, "second_factor"));
    cli_take_field(cli, "Recovery codes",
                   memory_format("%llu", (unsigned long long)cli_number(user, "recovery_codes")));
    cli_take_field(cli, "Created", text_time(cli_text(user, "created")));
    cli_take_field(cli, "Last login", text_time(cli_text(user, "last_login")));
}

/* path and body are taken over. The answer is a user. */
static int call_user(struct cli *cli, const char *method, char *path, json_t *body, struct failure *failure)
{
    json_t *user = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        free(path);
        return -1;
    }
    int result = client_call(client, method, path, body, &user, failure);
    free(path);
    if (result == 0) {
        print_user(cli, json_is_object(cli_member(user, "user")) ? cli_member(user, "user") : user);
    }
    json_decref(user);
    return result;
}

/* --- as administrators */

static void add_text(json_t *body, const struct cli *cli, const char *option)
{
    const char *value = arguments_value(cli->arguments, option);
    if (value != NULL) {
        json_object_set_new(body, option, json_string(value));
    }
}

static void add_groups(json_t *body, const struct cli *cli)
{
    const char *group;
    json_t *groups = json_array();
    for (size_t n = 0; (group = arguments_value_at(cli->arguments, "group", n)) != NULL; n++) {
        json_array_append_new(groups, json_string(group));
    }
    if (json_array_size(groups) > 0) {
        json_object_set(body, "groups", groups);
    }
    json_decref(groups);
}

/* A new password under this name in the body; typed twice where it is typed. */
static int add_password(json_t *body, const char *file, struct failure *failure)
{
    char *password = prompt_secret_or_file(file, "New password: ", "password-file", failure);
    char *again = password != NULL && file == NULL ? prompt_secret("The same again: ") : NULL;
    int result = password != NULL ? 0 : -1;
    if (password != NULL && file == NULL && (again == NULL || strcmp(password, again) != 0)) {
        result = failure_set(failure, ERROR_USER_INVALID, "The two are not the same");
    }
    if (result == 0) {
        json_object_set_new(body, "password", json_string(password));
    }
    prompt_forget(password);
    prompt_forget(again);
    return result;
}

int run_user_create(struct cli *cli, struct failure *failure)
{
    json_t *body = json_pack("{s:s}", "name", arguments_at(cli->arguments, 0));
    add_text(body, cli, "role");
    add_groups(body, cli);
    if (!arguments_flag(cli->arguments, "no-password") &&
        add_password(body, arguments_value(cli->arguments, "password-file"), failure) != 0) {
        json_decref(body);
        return -1;
    }
    return call_user(cli, "POST", memory_copy_text("/v1/users"), body, failure);
}

int run_user_list(struct cli *cli, struct failure *failure)
{
    json_t *users = NULL;
    size_t index;
    json_t *user;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_list(client, "/v1/users", 0, &users, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, users);
        return 0;
    }
    struct table *table = table_create("USER|ROLE|GROUPS|STATE|SECOND FACTOR|LAST LOGIN");
    json_array_foreach (users, index, user) {
        table_add(table, cli_text(user, "name"));
        table_add(table, cli_text(user, "role"));
        table_take(table, groups_text(user));
        table_add(table, cli_truth(user, "disabled") ? "disabled" : "enabled");
        table_add(table, cli_text(user, "second_factor"));
        table_take(table, text_time(cli_text(user, "last_login")));
    }
    table_print(table, "There is no user.", cli->out);
    table_destroy(table);
    json_decref(users);
    return 0;
}

/* action: "/password", or "" for the user himself. */
static char *user_path(const struct cli *cli, const char *action)
{
    char *user = client_path("/v1/users/%s", arguments_at(cli->arguments, 0));
    char *path = memory_format("%s%s", user, action);
    free(user);
    return path;
}

int run_user_show(struct cli *cli, struct failure *failure)
{
    return call_user(cli, "GET", user_path(cli, ""), NULL, failure);
}

int run_user_edit(struct cli *cli, struct failure *failure)
{
    const struct arguments *arguments = cli->arguments;
    json_t *body = json_object();
    add_text(body, cli, "name");
    add_text(body, cli, "role");
    add_groups(body, cli);
    if (arguments_flag(arguments, "everything")) {
        json_object_set_new(body, "groups", json_null());
    }
    if (arguments_flag(arguments, "disable") || arguments_flag(arguments, "enable")) {
        json_object_set_new(body, "disabled", json_boolean(arguments_flag(arguments, "disable")));
    }
    if (json_object_size(body) == 0) {
        json_decref(body);
        return failure_set(failure, ERROR_REQUEST_INVALID, "Say what to change: --role, --group, ...");
    }
    return call_user(cli, "PATCH", user_path(cli, ""), body, failure);
}

int run_user_delete(struct cli *cli, struct failure *failure)
{
    struct client *client = cli_client(cli, failure);
    char *path = user_path(cli, "");
    json_t *reply = NULL;
    int result = client != NULL ? client_call(client, "DELETE", path, NULL, &reply, failure) : -1;
    free(path);
    if (result == 0 && cli->json) {
        cli_print_json(cli, reply);
    } else if (result == 0) {
        fprintf(cli->out, "User %s is removed.\n", arguments_at(cli->arguments, 0));
    }
    json_decref(reply);
    return result;
}

int run_user_reset_factor(struct cli *cli, struct failure *failure)
{
    return call_user(cli, "DELETE", user_path(cli, "/second-factor"), NULL, failure);
}

/* --- of one's own */

/* The built-in administrator may have no password so far. */
static int add_old_password(struct cli *cli, json_t *body, struct failure *failure)
{
    json_t *me = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_call(client, "GET", "/v1/me", NULL, &me, failure) != 0) {
        return -1;
    }
    int result = 0;
    if (cli_truth(me, "user.has_password")) {
        char *old = prompt_secret_or_file(arguments_value(cli->arguments, "old-password-file"),
                                          "Old password: ", "old-password-file", failure);
        result = old != NULL ? 0 : -1;
        if (old != NULL) {
            json_object_set_new(body, "old_password", json_string(old));
        }
        prompt_forget(old);
    }
    json_decref(me);
    return result;
}

int run_user_password(struct cli *cli, struct failure *failure)
{
    bool own = arguments_at(cli->arguments, 0) == NULL;
    json_t *body = json_object();
    if ((own && add_old_password(cli, body, failure) != 0) ||
        add_password(body, arguments_value(cli->arguments, "password-file"), failure) != 0) {
        json_decref(body);
        return -1;
    }
    char *path = own ? memory_copy_text("/v1/me/password") : user_path(cli, "/password");
    return call_user(cli, "POST", path, body, failure);
}

static int remove_factor(struct cli *cli, struct failure *failure)
{
    return call_user(cli, "DELETE", memory_copy_text("/v1/me/second-factor"), NULL, failure);
}

static int confirm_totp(struct cli *cli, const char *code, struct failure *failure)
{
    json_t *reply = NULL;
    size_t index;
    json_t *one;
    json_t *body = json_pack("{s:s}", "code", code);
    if (client_call(cli->client, "POST", "/v1/me/totp/confirm", body, &reply, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, reply);
    } else {
        fputs("The second factor is set. Keep these recovery codes; each works once instead of a code:\n",
              cli->out);
        json_array_foreach (json_object_get(reply, "recovery_codes"), index, one) {
            fprintf(cli->out, "  %s\n", json_is_string(one) ? json_string_value(one) : "-");
        }
    }
    json_decref(reply);
    return 0;
}

/* Where nobody can be asked, the code is given by a second call with --confirm. */
static int begin_totp(struct cli *cli, struct failure *failure)
{
    json_t *reply = NULL;
    if (client_call(cli->client, "POST", "/v1/me/totp", json_object(), &reply, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_json(cli, reply);
        json_decref(reply);
        return 0;
    }
    cli_print_field(cli, "Secret", cli_text(reply, "secret"));
    cli_print_field(cli, "URI", cli_text(reply, "uri"));
    json_decref(reply);
    fputs("Enter the secret, or the URI as a QR code, in the application that makes your codes.\n", cli->out);
    fflush(cli->out);
    char *code = prompt_secret("A code that it shows: ");
    if (code == NULL) {
        fputs("Then: holdfast user totp --confirm CODE\n", cli->out);
        return 0;
    }
    int result = confirm_totp(cli, code, failure);
    free(code);
    return result;
}

int run_user_totp(struct cli *cli, struct failure *failure)
{
    const char *code = arguments_value(cli->arguments, "confirm");
    if (cli_client(cli, failure) == NULL) {
        return -1;
    }
    return arguments_flag(cli->arguments, "remove") ? remove_factor(cli, failure)
           : code != NULL                           ? confirm_totp(cli, code, failure)
                                                    : begin_totp(cli, failure);
}

int run_user_pin(struct cli *cli, struct failure *failure)
{
    if (arguments_flag(cli->arguments, "remove")) {
        return remove_factor(cli, failure);
    }
    char *pin =
        prompt_secret_or_file(arguments_value(cli->arguments, "pin-file"), "New PIN: ", "pin-file", failure);
    if (pin == NULL) {
        return -1;
    }
    json_t *body = json_pack("{s:s}", "pin", pin);
    prompt_forget(pin);
    return call_user(cli, "POST", memory_copy_text("/v1/me/pin"), body, failure);
}
