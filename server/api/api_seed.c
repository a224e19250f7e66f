/* Giving a VM its first copy without the network. */
#include "server/api/api_internal.h"
#include "server/catalog/catalog_deletion.h"
#include "server/transfer/seed.h"

/* {"vda": "disk0"}: the VM's disks, and those of the recovery point that hold them. */
static int read_disks(struct api_call *call, const struct seed_disk **disks, size_t *count, struct error *err)
{
    json_t *object = json_object_get(call->body, "disks");
    struct seed_disk *list = arena_alloc(call->arena, (json_object_size(object) + 1) * sizeof *list);
    const char *disk;
    json_t *from;
    *disks = list;
    *count = 0;
    json_object_foreach (object, disk, from) {
        if (!json_is_string(from)) {
            return error_set(err, ERROR_REQUEST_INVALID,
                             "disks gives the recovery point's disk for each disk of the VM");
        }
        list[(*count)++] = (struct seed_disk){disk, json_string_value(from)};
    }
    return object == NULL || json_is_null(object) || json_is_object(object)
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID, "disks must be an object");
}

static const struct catalog_vm *find_vm(struct api_call *call, struct error *err)
{
    return catalog_vm_find(server_catalog(call->server), call->arena, call->parameters[0], err);
}

int api_vm_seed(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"point", "disks", NULL};
    const char *point_id = NULL;
    const struct seed_disk *disks = NULL;
    size_t count = 0;
    const struct catalog_vm *vm = find_vm(call, err);
    if (vm == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "point", &point_id, err) != 0 ||
        read_disks(call, &disks, &count, err) != 0) {
        return -1;
    }
    if (point_id == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "A seed needs the recovery point to take it from");
    }
    const struct catalog_point *point =
        catalog_point_find(server_catalog(call->server), call->arena, point_id, err);
    return point == NULL || catalog_point_check_live(point, err) != 0 ||
                   seed_vm(call->server, vm, point->id, disks, count, err) != 0
               ? -1
               : api_vm_show(call, err);
}

int api_vm_seed_forget(struct api_call *call, struct error *err)
{
    const struct catalog_vm *vm = find_vm(call, err);
    return vm == NULL || seed_forget(call->server, vm, err) != 0 ? -1 : api_vm_show(call, err);
}
