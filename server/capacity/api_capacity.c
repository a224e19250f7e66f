/* Room in the store, by the API. */
#include "server/api/api_internal.h"
#include "server/report/dashboard.h"

/* {"need_bytes", "free_bytes", "fits"} of all VMs of a group under its policy. */
static int expect_group(struct api_call *call, const char *name, json_t **expected, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const struct catalog_group *group = catalog_group_find(catalog, call->arena, name, err);
    const struct catalog_policy *policy =
        group != NULL ? catalog_policy_find(catalog, call->arena, group->policy_id, err) : NULL;
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    const char **ids = NULL;
    size_t id_count = 0;
    size_t count;
    uint64_t need;
    uint64_t free_bytes;
    if (policy == NULL) {
        return -1;
    }
    const struct catalog_vm_filter filter = {.group_id = group->id};
    do {
        const struct catalog_vm *vms;
        if (catalog_vm_list(catalog, call->arena, &filter, &page, &vms, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            ids = arena_grow(call->arena, ids, id_count, sizeof *ids);
            ids[id_count++] = vms[i].id;
            page.after = vms[i].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    if (capacity_expect(server_capacity(call->server), ids, id_count, policy, &need, &free_bytes, err) != 0) {
        return -1;
    }
    *expected = json_pack("{s:s, s:I, s:I, s:b}", "group", group->name, "need_bytes", (json_int_t)need,
                          "free_bytes", (json_int_t)free_bytes, "fits", need <= free_bytes);
    return 0;
}

int api_store_capacity(struct api_call *call, struct error *err)
{
    struct capacity_status status;
    const char *group = api_query(call, "group");
    json_t *expected = json_null();
    if ((group != NULL && expect_group(call, group, &expected, err) != 0) ||
        capacity_read(server_capacity(call->server), &status, err) != 0) {
        json_decref(expected);
        return -1;
    }
    call->reply = dashboard_capacity_json(&status);
    json_object_set_new(call->reply, "expected", expected);
    return 0;
}
