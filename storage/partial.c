/* Partial maps: one file a disk, in a directory a datasource. */
#include "base/bytes.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/point_internal.h"
#include "storage/store_internal.h"

#include <stdlib.h>
#include <string.h>

static char *partial_directory(const struct store *store, const char *datasource)
{
    return os_path_join(store->partials, datasource);
}

/* Disk names come from hypervisors: in a file name they are hexadecimal. */
static char *partial_path(const struct store *store, const char *datasource, const char *disk)
{
    size_t length = strlen(disk);
    char *hex = memory_alloc(2 * length + 1);
    bytes_to_hex((const uint8_t *)disk, length, hex);
    char *path = memory_format("%s/%s/%.200s.hfm", store->partials, datasource, hex);
    free(hex);
    return path;
}

int partial_save(struct store *store, const char *datasource, const char *disk, uint64_t disk_size,
                 const struct chunk_name *root, struct error *err)
{
    char hex[65];
    if (!identity_is_valid(datasource)) {
        return error_set(err, ERROR_INTERNAL, "%s is not an id", datasource);
    }
    if (store_sync(store, err) != 0) {
        return -1;
    }
    char *directory = partial_directory(store, datasource);
    char *path = partial_path(store, datasource, disk);
    bytes_to_hex(root->bytes, sizeof root->bytes, hex);
    json_t *object = json_pack("{s:s, s:I, s:s}", "disk", disk, "size", (json_int_t)disk_size, "root", hex);
    int result = os_path_make_directory(directory, 0700, err);
    if (result == 0) {
        result = object != NULL
                     ? envelope_write(path, object, err)
                     : error_set(err, ERROR_INTERNAL, "A partial map of %s can't be encoded", disk);
    }
    json_decref(object);
    free(path);
    free(directory);
    return result;
}

int partial_load(struct store *store, const char *datasource, const char *disk, uint64_t *disk_size,
                 struct chunk_name *root, struct error *err)
{
    char *path = partial_path(store, datasource, disk);
    int result = 0;
    if (identity_is_valid(datasource) && os_path_exists(path)) {
        json_t *object = envelope_read(path, err);
        const char *hex = json_string_value(json_object_get(object, "root"));
        const json_t *size = json_object_get(object, "size");
        /* One that can't be read is only a saving that is lost. */
        if (hex != NULL && json_is_integer(size) &&
            bytes_from_hex(hex, root->bytes, sizeof root->bytes) == 0) {
            *disk_size = (uint64_t)json_integer_value(size);
            result = 1;
        }
        json_decref(object);
    }
    free(path);
    return result;
}

int partial_remove(struct store *store, const char *datasource, struct error *err)
{
    char *directory = partial_directory(store, datasource);
    int result =
        identity_is_valid(datasource) && os_path_exists(directory) ? os_path_remove_tree(directory, err) : 0;
    free(directory);
    return result;
}
