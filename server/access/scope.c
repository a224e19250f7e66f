/* Roles, and what is there for users that are scoped to groups. */
#include "base/memory.h"
#include "server/access/guard.h"
#include "server/api/api_internal.h"
#include "server/catalog/catalog_alerts.h"
#include "server/catalog/catalog_snapshots.h"

#include <stdlib.h>
#include <string.h>

static const struct object_kind {
    const char *name; /* of path parameters, query parameters and fields */
    const char *names;
    const char *word;
    enum access_object kind;
    enum error_code missing;
} kinds[] = {
    {"host", "hosts", "host", OBJECT_HOST, ERROR_HOST_NOT_FOUND},
    {"vm", "vms", "VM", OBJECT_VM, ERROR_VM_NOT_FOUND},
    {"policy", "policies", "policy", OBJECT_POLICY, ERROR_POLICY_NOT_FOUND},
    {"group", "groups", "protection group", OBJECT_GROUP, ERROR_GROUP_NOT_FOUND},
    {"point", "points", "recovery point", OBJECT_POINT, ERROR_RP_NOT_FOUND},
    {"job", "jobs", "job", OBJECT_JOB, ERROR_JOB_NOT_FOUND},
    {"alert", "alerts", "alert", OBJECT_ALERT, ERROR_ALERT_NOT_FOUND},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

int access_check_role(const struct api_call *call, const struct api_route *route, struct error *err)
{
    if (!access_role_allows(call->identity.role, route->role)) {
        return error_set(err, ERROR_PERMISSION_DENIED, "%s is %s here; this needs the role of %s",
                         call->identity.user_name, access_role_name(call->identity.role),
                         access_role_name(route->role));
    }
    if (!call->identity.everything && route->scope == SCOPE_SERVER) {
        return error_set(err, ERROR_PERMISSION_DENIED,
                         "%s may only do what concerns his groups; this concerns the whole server",
                         call->identity.user_name);
    }
    return 0;
}

int access_has(struct api_call *call, enum access_object kind, const char *id, bool *has, struct error *err)
{
    *has = true;
    return call->identity.everything
               ? 0
               : catalog_scope_has(server_catalog(call->server), call->identity.user_id, kind, id, has, err);
}

const char *access_scope_user(const struct api_call *call)
{
    return call->identity.everything ? NULL : call->identity.user_id;
}

/* The id behind a reference, or NULL. */
static const char *find_id(struct api_call *call, enum access_object kind, const char *reference,
                           struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    struct arena *arena = call->arena;
    const struct catalog_host *host;
    const struct catalog_vm *vm;
    const struct catalog_policy *policy;
    const struct catalog_group *group;
    const struct catalog_point *point;
    const struct catalog_job *job;
    const struct catalog_alert *alert;
    switch (kind) {
    case OBJECT_HOST:
        return (host = catalog_host_find(catalog, arena, reference, err)) != NULL ? host->id : NULL;
    case OBJECT_VM:
        return (vm = catalog_vm_find(catalog, arena, reference, err)) != NULL ? vm->id : NULL;
    case OBJECT_POLICY:
        return (policy = catalog_policy_find(catalog, arena, reference, err)) != NULL ? policy->id : NULL;
    case OBJECT_GROUP:
        return (group = catalog_group_find(catalog, arena, reference, err)) != NULL ? group->id : NULL;
    case OBJECT_POINT:
        return (point = catalog_restorable_find(catalog, arena, reference, err)) != NULL ? point->id : NULL;
    case OBJECT_ALERT:
        return (alert = catalog_alert_find(catalog, arena, reference, err)) != NULL ? alert->id : NULL;
    default:
        return (job = catalog_job_find(catalog, arena, reference, err)) != NULL ? job->id : NULL;
    }
}

/* To whom it is not there, one that does not exist and one of others look the same. */
static int check_object(struct api_call *call, const struct object_kind *kind, const char *reference,
                        struct error *err)
{
    bool has = false;
    const char *id = find_id(call, kind->kind, reference, err);
    if (id == NULL && !call->identity.everything && err->code == ERROR_VM_AMBIGUOUS) {
        /* not which ones: they may be others' */
        return error_set(err, ERROR_VM_AMBIGUOUS, "More than one VM is called %.100s", reference);
    }
    if (id == NULL && (call->identity.everything || err->code != kind->missing)) {
        return -1;
    }
    if (id != NULL && access_has(call, kind->kind, id, &has, err) != 0) {
        return -1;
    }
    return has ? 0 : error_set(err, kind->missing, "There is no %s %.100s", kind->word, reference);
}

/* One parameter of the path. Users are no objects of scopes: who may name them sees all of them. */
static int check_parameter(struct api_call *call, const char *name, size_t length, const char *reference,
                           struct error *err)
{
    static const char user[] = "user";
    if (length == sizeof user - 1 && strncmp(name, user, length) == 0) {
        return catalog_user_find(server_catalog(call->server), call->arena, reference, err) != NULL ? 0 : -1;
    }
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, name, length) == 0) {
            return check_object(call, &kinds[i], reference, err);
        }
    }
    return 0;
}

static int check_path(struct api_call *call, const struct api_route *route, struct error *err)
{
    size_t parameter = 0;
    for (const char *open = strchr(route->path, '{'); open != NULL; open = strchr(open + 1, '{')) {
        if (check_parameter(call, open + 1, strcspn(open + 1, "}"), call->parameters[parameter++], err) !=
            0) {
            return -1;
        }
    }
    return 0;
}

static int check_list(struct api_call *call, const struct object_kind *kind, const json_t *list,
                      struct error *err)
{
    size_t index;
    json_t *one;
    json_array_foreach ((json_t *)(uintptr_t)list, index, one) {
        if (json_is_string(one) && check_object(call, kind, json_string_value(one), err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int check_query_and_body(struct api_call *call, struct error *err)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        const char *asked = api_query(call, kinds[i].name);
        const char *field = json_string_value(json_object_get(call->body, kinds[i].name));
        if ((asked != NULL && check_object(call, &kinds[i], asked, err) != 0) ||
            (field != NULL && check_object(call, &kinds[i], field, err) != 0) ||
            check_list(call, &kinds[i], json_object_get(call->body, kinds[i].names), err) != 0) {
            return -1;
        }
    }
    return 0;
}

int access_check_objects(struct api_call *call, const struct api_route *route, struct error *err)
{
    /* Nobody is asked to confirm an act on what is not there. */
    if ((route->guard != NULL || !call->identity.everything) && check_path(call, route, err) != 0) {
        return -1;
    }
    return call->identity.everything ? 0 : check_query_and_body(call, err);
}

/* Moves to `kept` what the user's groups have, until it has `most`. *seen: how many were looked at. */
static int keep_items(struct api_call *call, enum access_object kind, const json_t *items, size_t most,
                      json_t *kept, size_t *seen, struct error *err)
{
    for (*seen = 0; *seen < json_array_size(items) && json_array_size(kept) < most; ++*seen) {
        json_t *item = json_array_get(items, *seen);
        const char *id = json_string_value(json_object_get(item, "id"));
        bool has = false;
        if (id != NULL && access_has(call, kind, id, &has, err) != 0) {
            return -1;
        }
        if (has) {
            json_array_append(kept, item);
        }
    }
    return 0;
}

/* The list again, from another place; what is read for it is given back. */
static int ask_again(struct api_call *call, const struct api_route *route, const char *after, size_t limit,
                     struct error *err)
{
    struct arena *arena = call->arena;
    const char *query = call->query;
    json_decref(call->reply);
    call->reply = NULL;
    call->arena = arena_create();
    call->query = arena_format(call->arena, "limit=%zu&after=%s%s%s", limit, after,
                               query == NULL || query[0] == '\0' ? "" : "&", query == NULL ? "" : query);
    int result = route->handler(call, err);
    arena_destroy(call->arena);
    call->arena = arena;
    call->query = query;
    return result;
}

/* Reads on until the page is full, or the list's end has come. */
static int fill_page(struct api_call *call, const struct api_route *route, enum access_object kind,
                     const struct catalog_page *page, json_t *kept, struct error *err)
{
    const char *after = arena_format(call->arena, "%lld", (long long)page->after);
    for (;;) {
        const json_t *items = json_object_get(call->reply, "items");
        size_t seen;
        if (keep_items(call, kind, items, page->limit, kept, &seen, err) != 0) {
            return -1;
        }
        if (seen < json_array_size(items)) {
            return ask_again(call, route, after, seen, err); /* for where the next page goes on */
        }
        const char *next = json_string_value(json_object_get(call->reply, "next"));
        if (next == NULL || json_array_size(kept) == page->limit) {
            return 0;
        }
        after = arena_text(call->arena, next);
        if (ask_again(call, route, after, CATALOG_PAGE_MAX, err) != 0) {
            return -1;
        }
    }
}

int access_filter_list(struct api_call *call, const struct api_route *route, struct error *err)
{
    static const enum access_object listed[] = {
        [SCOPE_HOSTS] = OBJECT_HOST,   [SCOPE_VMS] = OBJECT_VM,       [SCOPE_POLICIES] = OBJECT_POLICY,
        [SCOPE_GROUPS] = OBJECT_GROUP, [SCOPE_POINTS] = OBJECT_POINT, [SCOPE_JOBS] = OBJECT_JOB,
    };
    struct catalog_page page;
    if (call->identity.everything || route->scope < SCOPE_HOSTS) {
        return 0;
    }
    json_t *kept = json_array();
    if (api_page(call, &page, err) != 0 ||
        fill_page(call, route, listed[route->scope], &page, kept, err) != 0) {
        json_decref(kept);
        return -1;
    }
    json_object_set_new(call->reply, "items", kept);
    return 0;
}
