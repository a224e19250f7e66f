/* The audit record and the API: what of a request is written down, and reading the record. */
#include "base/clock.h"
#include "server/api/api_internal.h"
#include "server/audit/audit.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RESULTS_SHOWN = 1000 };

/* Reading these gives data of VMs away. */
static const char *const data_routes[] = {"/v1/recovery-points/{point}/disks/{disk}/data"};

static bool is_audited(const struct api_route *route)
{
    if (strcmp(route->method, "GET") != 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof data_routes / sizeof *data_routes; i++) {
        if (strcmp(route->path, data_routes[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_secret(const char *key)
{
    static const char *const words[] = {"password", "passphrase", "secret", "token", "key", "credential"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasestr(key, words[i]) != NULL) {
            return true;
        }
    }
    return strcmp(key, "pin") == 0 || strcmp(key, "code") == 0;
}

json_t *api_audit_mask(const json_t *value)
{
    const char *key;
    json_t *member;
    size_t index;
    json_t *copy;
    if (json_is_object(value)) {
        copy = json_object();
        json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
            json_object_set_new(copy, key, is_secret(key) ? json_string("***") : api_audit_mask(member));
        }
        return copy;
    }
    if (!json_is_array(value)) {
        return json_deep_copy(value);
    }
    copy = json_array();
    json_array_foreach ((json_t *)(uintptr_t)value, index, member) {
        json_array_append_new(copy, api_audit_mask(member));
    }
    return copy;
}

/* Ids and names of what the request made or found. */
static json_t *result_names(const json_t *reply)
{
    static const char *const names[] = {"id", "name", "type", "vm", "vm_id", "host", "point", "version"};
    json_t *result = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *value = json_object_get(reply, names[i]);
        if (json_is_string(value) || json_is_integer(value)) {
            json_object_set(result, names[i], value);
        }
    }
    json_t *items = json_object_get(reply, "items");
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(items) && i < RESULTS_SHOWN; i++) {
        json_array_append_new(list, result_names(json_array_get(items, i)));
    }
    if (items != NULL) {
        json_object_set(result, "items", list);
    }
    json_decref(list);
    return result;
}

/* The object of a request: what its path names, or the member of the body that names one. */
static const char *name_object(struct api_call *call)
{
    static const char *const members[] = {"name", "vm", "group", "point", "username", NULL};
    if (call->parameters[0] != NULL) {
        return call->parameters[1] == NULL
                   ? call->parameters[0]
                   : arena_format(call->arena, "%s %s", call->parameters[0], call->parameters[1]);
    }
    for (const char *const *member = members; *member != NULL; member++) {
        const char *value = json_string_value(json_object_get(call->body, *member));
        if (value != NULL) {
            return arena_text(call->arena, value);
        }
    }
    return "";
}

/* malloc'd. */
static char *detail_text(struct api_call *call, bool ended)
{
    json_t *detail = json_object();
    if (json_object_size(call->body) > 0) {
        json_object_set_new(detail, "request", api_audit_mask(call->body));
    }
    if (ended && call->reply != NULL) {
        json_object_set_new(detail, "result", result_names(call->reply));
    }
    if (ended && call->audit_changed != NULL) {
        json_object_set(detail, "changed", call->audit_changed);
    }
    char *text = json_dumps(detail, JSON_COMPACT);
    json_decref(detail);
    return text;
}

static struct audit_entry make_entry(struct api_call *call, const struct api_route *route, const char *detail)
{
    return (struct audit_entry){.actor = call->actor,
                                .address = call->address,
                                .action = arena_format(call->arena, "%s %s", route->method, route->path),
                                .object = call->audit_object,
                                .detail = detail};
}

int api_audit_begin(struct api_call *call, const struct api_route *route, struct error *err)
{
    if (!is_audited(route)) {
        return 0;
    }
    call->audit_object = name_object(call);
    char *detail = detail_text(call, false);
    struct audit_entry entry = make_entry(call, route, detail);
    int result = audit_begin(server_audit(call->server), &entry, &call->audit_number, err);
    free(detail);
    return result;
}

void api_audit_end(struct api_call *call, const struct api_route *route, const struct error *refused)
{
    if (call->audit_number == 0) {
        return;
    }
    char *detail = detail_text(call, refused == NULL);
    struct audit_entry entry = make_entry(call, route, detail);
    audit_end(server_audit(call->server), &entry, call->audit_number, refused);
    free(detail);
}

/* Adds "a.b": [before, after] for every value below that differs. */
static void add_changes(struct api_call *call, const char *prefix, const json_t *before, const json_t *after)
{
    const char *key;
    json_t *new;
    json_object_foreach ((json_t *)(uintptr_t)after, key, new) {
        json_t *old = json_object_get(before, key);
        const char *name = arena_format(call->arena, "%s%s", prefix, key);
        if (json_is_object(new) && json_is_object(old)) {
            add_changes(call, arena_format(call->arena, "%s.", name), old, new);
        } else if (!json_equal(old, new)) {
            json_t *was = is_secret(key) || old == NULL ? json_null() : json_deep_copy(old);
            json_t *is = is_secret(key) ? json_string("***") : json_deep_copy(new);
            json_object_set_new(call->audit_changed, name, json_pack("[o, o]", was, is));
        }
    }
}

void api_audit_changed(struct api_call *call, json_t *before, const json_t *after)
{
    if (call->audit_changed == NULL) {
        call->audit_changed = json_object();
    }
    if (after == NULL) {
        json_object_set_new(call->audit_changed, "deleted", api_audit_mask(before));
    }
    add_changes(call, "", before, after);
    json_decref(before);
}

/* --- reading the record */

static json_t *entry_json(const struct catalog_audit *row)
{
    char number[24];
    json_t *detail = json_loads(row->detail, JSON_REJECT_DUPLICATES, NULL);
    snprintf(number, sizeof number, "%lld", (long long)row->number);
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:s, s:o, s:s, s:o, s:o, s:s}", "id", number, "time", api_time(row->time_ms),
        "actor", api_text_or_null(row->actor), "address", api_text_or_null(row->address), "action",
        row->action, "object", api_text_or_null(row->object), "outcome", row->outcome, "code",
        api_text_or_null(row->code), "detail", detail != NULL ? detail : json_object(), "hash", row->hash);
}

int api_query_time(struct api_call *call, const char *name, int64_t *value_ms, struct error *err)
{
    const char *text = api_query(call, name);
    return text == NULL || clock_parse_wall(text, value_ms) == 0
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID,
                           "%s must be a time such as 2026-01-31T10:00:00Z, or a date", name);
}

int api_audit_list(struct api_call *call, struct error *err)
{
    struct catalog_audit_filter filter = {.actor = api_query(call, "actor"),
                                          .object = api_query(call, "object")};
    const char *all = api_query(call, "all");
    const struct catalog_audit *rows;
    struct catalog_page page;
    size_t count;
    filter.all = all != NULL && strcmp(all, "true") == 0;
    if (api_page(call, &page, err) != 0 || api_query_time(call, "since", &filter.since_ms, err) != 0 ||
        api_query_time(call, "until", &filter.until_ms, err) != 0 ||
        catalog_audit_list(server_catalog(call->server), call->arena, &filter, &page, &rows, &count, err) !=
            0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, entry_json(&rows[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? rows[count - 1].number : 0);
    return 0;
}

int api_audit_verify(struct api_call *call, struct error *err)
{
    struct audit_verdict verdict;
    struct chain_head known;
    const char *head = api_query(call, "head");
    chain_head_init(&known);
    if (head != NULL && chain_head_parse(head, &known) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "head must be the number of an entry, a blank, and its hash");
    }
    if (audit_verify(server_audit(call->server), &known, &verdict, err) != 0) {
        return -1;
    }
    call->reply = json_pack("{s:b, s:I, s:I, s:{s:I, s:s}, s:o, s:o}", "whole", verdict.broken == 0, "first",
                            (json_int_t)verdict.first, "last", (json_int_t)verdict.last, "head", "number",
                            (json_int_t)verdict.head.number, "hash", verdict.head.hash, "broken",
                            verdict.broken != 0 ? json_integer(verdict.broken) : json_null(), "reason",
                            api_text_or_null(verdict.why));
    return 0;
}
