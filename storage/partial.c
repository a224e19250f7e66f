/* Partial maps: one object a disk, in a folder a datasource. */
#include "base/bytes.h"
#include "base/memory.h"
#include "storage/point_internal.h"

#include <stdlib.h>
#include <string.h>

static const char seed_mark[] = "seed-";

/* Disk names come from hypervisors: in an object's name they are hexadecimal. */
static char *partial_object(const char *datasource, const char *disk, bool seed)
{
    size_t length = strlen(disk);
    char *hex = memory_alloc(2 * length + 1);
    bytes_to_hex((const uint8_t *)disk, length, hex);
    char *object = memory_format("partials/%s/%s%.200s.hfm", datasource, seed ? seed_mark : "", hex);
    free(hex);
    return object;
}

/* point: of a seed; NULL for what a transfer brought. */
static int save(struct store *store, const char *datasource, const char *disk, uint64_t disk_size,
                const struct chunk_name *root, const char *point, struct error *err)
{
    char hex[65];
    if (!identity_is_valid(datasource)) {
        return error_set(err, ERROR_INTERNAL, "%s is not an id", datasource);
    }
    if (store_sync(store, err) != 0) {
        return -1;
    }
    bytes_to_hex(root->bytes, sizeof root->bytes, hex);
    json_t *object = json_pack("{s:s, s:s, s:I, s:s}", "datasource", datasource, "disk", disk, "size",
                               (json_int_t)disk_size, "root", hex);
    if (object == NULL) {
        return error_set(err, ERROR_INTERNAL, "A partial map of %s can't be encoded", disk);
    }
    if (point != NULL) {
        json_object_set_new(object, "point", json_string(point));
    }
    char *name = partial_object(datasource, disk, point != NULL);
    int result = envelope_write(store, name, object, err);
    json_decref(object);
    free(name);
    return result;
}

int partial_save(struct store *store, const char *datasource, const char *disk, uint64_t disk_size,
                 const struct chunk_name *root, struct error *err)
{
    return save(store, datasource, disk, disk_size, root, NULL, err);
}

int partial_save_seed(struct store *store, const char *datasource, const struct point_disk *from,
                      const char *disk, const char *point, struct error *err)
{
    return save(store, datasource, disk, from->size, &from->root, point, err);
}

static bool is_text(const json_t *object, const char *key, const char *wanted)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL && strcmp(text, wanted) == 0;
}

int partial_parse(const json_t *object, uint64_t *disk_size, struct chunk_name *root)
{
    const char *hex = json_string_value(json_object_get(object, "root"));
    const json_t *size = json_object_get(object, "size");
    if (hex == NULL || !json_is_integer(size) || json_integer_value(size) < 0 ||
        bytes_from_hex(hex, root->bytes, sizeof root->bytes) != 0) {
        return -1;
    }
    *disk_size = (uint64_t)json_integer_value(size);
    return 0;
}

static int load(struct store *store, const char *datasource, const char *disk, bool seed, uint64_t *disk_size,
                struct chunk_name *root, struct error *err)
{
    json_t *object;
    if (!identity_is_valid(datasource)) {
        return 0;
    }
    char *name = partial_object(datasource, disk, seed);
    int found = envelope_read(store, name, &object, err);
    free(name);
    if (found != 1) {
        /* One that is damaged is only a saving that is lost. */
        return found < 0 && err->code != ERROR_RP_DAMAGED ? -1 : 0;
    }
    bool good = is_text(object, "datasource", datasource) && is_text(object, "disk", disk) &&
                partial_parse(object, disk_size, root) == 0;
    json_decref(object);
    return good;
}

int partial_load(struct store *store, const char *datasource, const char *disk, uint64_t *disk_size,
                 struct chunk_name *root, struct error *err)
{
    return load(store, datasource, disk, false, disk_size, root, err);
}

int partial_load_seed(struct store *store, const char *datasource, const char *disk, uint64_t *disk_size,
                      struct chunk_name *root, struct error *err)
{
    return load(store, datasource, disk, true, disk_size, root, err);
}

struct object_list {
    char **names;
    size_t count;
};

static int collect_name(void *cookie, const char *name)
{
    struct object_list *list = cookie;
    list->names = memory_resize(list->names, list->count + 1, sizeof *list->names);
    list->names[list->count++] = memory_copy_text(name);
    return 0;
}

int partial_find_seed(struct store *store, const char *datasource, char point[IDENTITY_SIZE],
                      struct error *err)
{
    struct object_list list = {0};
    int found = 0;
    if (!identity_is_valid(datasource)) {
        return 0;
    }
    char *folder = memory_format("partials/%s", datasource);
    int result = store->backend->operations->list(store->backend, folder, collect_name, &list, err);
    for (size_t i = 0; i < list.count; i++) {
        json_t *object = NULL;
        struct error ignored; /* one that is damaged is only a saving that is lost */
        char *name = memory_format("%s/%s", folder, list.names[i]);
        if (found == 0 && result == 0 && strncmp(list.names[i], seed_mark, sizeof seed_mark - 1) == 0 &&
            envelope_read(store, name, &object, &ignored) == 1) {
            const char *id = json_string_value(json_object_get(object, "point"));
            found = id != NULL && identity_is_valid(id);
            if (found == 1) {
                memcpy(point, id, IDENTITY_SIZE);
            }
            json_decref(object);
        }
        free(name);
        free(list.names[i]);
    }
    free(list.names);
    free(folder);
    return result == 0 ? found : -1;
}

int partial_remove(struct store *store, const char *datasource, struct error *err)
{
    struct object_list list = {0};
    if (!identity_is_valid(datasource)) {
        return 0;
    }
    char *folder = memory_format("partials/%s", datasource);
    int result = store->backend->operations->list(store->backend, folder, collect_name, &list, err);
    for (size_t i = 0; i < list.count; i++) {
        char *object = memory_format("%s/%s", folder, list.names[i]);
        if (result == 0) {
            result = store->backend->operations->remove(store->backend, object, err);
        }
        free(object);
        free(list.names[i]);
    }
    free(list.names);
    free(folder);
    return result;
}

int partial_list_roots(struct store *store, int (*visit)(void *cookie, const struct chunk_name *root),
                       void *cookie, struct error *err)
{
    struct object_list list = {0};
    int result = store->backend->operations->list(store->backend, "partials", collect_name, &list, err);
    for (size_t i = 0; i < list.count; i++) {
        struct chunk_name root;
        uint64_t size;
        json_t *object;
        char *name = memory_format("partials/%s", list.names[i]);
        /* One that is damaged is only a saving that is lost. */
        if (result == 0 && envelope_read(store, name, &object, err) == 1) {
            result = partial_parse(object, &size, &root) == 0 ? visit(cookie, &root) : 0;
            json_decref(object);
        }
        free(name);
        free(list.names[i]);
    }
    free(list.names);
    return result;
}
