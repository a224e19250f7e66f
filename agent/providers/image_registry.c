#include "agent/providers/image_registry.h"
#include "agent/providers/files_internal.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "disk/disk_device.h"
#include "disk/disk_image.h"
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { REGISTRY_LIMIT = 16 * 1024 * 1024, NAME_LENGTH_MAX = 200, DISKS_MAX = 256 };

static char *registry_path(const char *data_directory)
{
    return os_path_join(data_directory, "images.json");
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static int take_source(const json_t *object, struct image_source *source)
{
    const json_t *disks = json_object_get(object, "disks");
    const char *uuid = text_of(object, "uuid");
    const char *name = text_of(object, "name");
    const json_t *files = json_object_get(object, "files");
    size_t count = json_array_size(disks);
    if (!uuid || !identity_is_valid(uuid) || !name || (count == 0) != (files != NULL) || count > DISKS_MAX)
        return -1;
    source->uuid = memory_copy_text(uuid);
    source->name = memory_copy_text(name);
    if (files) {
        source->files = files_source_from_json(files);
        return source->files ? 0 : -1;
    }
    source->disks = memory_array(count, sizeof *source->disks);
    source->disk_count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *disk = json_array_get(disks, i);
        if (!text_of(disk, "name") || !text_of(disk, "path") || !text_of(disk, "format"))
            return -1;
        source->disks[i].name = memory_copy_text(text_of(disk, "name"));
        source->disks[i].path = memory_copy_text(text_of(disk, "path"));
        source->disks[i].format = memory_copy_text(text_of(disk, "format"));
    }
    return 0;
}

static int take_registry(const char *path, const json_t *root, struct image_registry *registry,
                         struct error *err)
{
    const json_t *list = json_object_get(root, "images");
    size_t count = json_array_size(list);
    registry->sources = memory_array(count ? count : 1, sizeof *registry->sources);
    for (size_t i = 0; i < count; i++) {
        registry->count = i + 1;
        if (take_source(json_array_get(list, i), &registry->sources[i]) != 0)
            return error_set(err, ERROR_CONFIG_INVALID, "Entry %zu of %s is not valid.", i + 1, path);
    }
    return 0;
}

int image_registry_load(const char *data_directory, struct image_registry *registry, struct error *err)
{
    memset(registry, 0, sizeof *registry);
    char *path = registry_path(data_directory);
    uint8_t *bytes = NULL;
    size_t length = 0;
    json_t *root = NULL;
    int result = 0;
    if (!os_path_exists(path))
        goto done;
    result = os_file_read_whole(path, REGISTRY_LIMIT, &bytes, &length, err);
    if (result != 0)
        goto done;
    json_error_t problem;
    root = json_loadb((const char *)bytes, length, 0, &problem);
    if (root)
        result = take_registry(path, root, registry, err);
    else
        result = error_set(err, ERROR_CONFIG_INVALID, "%s, line %d: %s.", path, problem.line, problem.text);
    if (result != 0)
        image_registry_release(registry);
done:
    json_decref(root);
    free(bytes);
    free(path);
    return result;
}

static void release_source(struct image_source *source)
{
    for (size_t d = 0; d < source->disk_count; d++) {
        free(source->disks[d].name);
        free(source->disks[d].path);
        free(source->disks[d].format);
    }
    free(source->disks);
    files_source_destroy(source->files);
    free(source->uuid);
    free(source->name);
}

void image_registry_release(struct image_registry *registry)
{
    for (size_t i = 0; i < registry->count; i++)
        release_source(&registry->sources[i]);
    free(registry->sources);
    memset(registry, 0, sizeof *registry);
}

static const struct image_source *find(const struct image_registry *registry, const char *uuid, bool files)
{
    for (size_t i = 0; i < registry->count; i++) {
        const struct image_source *source = &registry->sources[i];
        if (strcmp(source->uuid, uuid) == 0 && (source->files != NULL) == files)
            return source;
    }
    return NULL;
}

const struct image_source *image_registry_find(const struct image_registry *registry, const char *uuid)
{
    return find(registry, uuid, false);
}

const struct image_source *image_registry_find_files(const struct image_registry *registry, const char *uuid)
{
    return find(registry, uuid, true);
}

static bool valid_name(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '/' || (unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    }
    return length > 0 && length <= NAME_LENGTH_MAX;
}

/* NULL when a path is no UTF-8; so for what follows. */
static json_t *disks_to_json(const struct image_source *source)
{
    json_t *disks = json_array();
    bool told = true;
    for (size_t i = 0; i < source->disk_count; i++) {
        const struct image_disk *disk = &source->disks[i];
        told = json_array_append_new(disks, json_pack("{s:s, s:s, s:s}", "name", disk->name, "path",
                                                      disk->path, "format", disk->format)) == 0 &&
               told;
    }
    if (!told) {
        json_decref(disks);
        return NULL;
    }
    return disks;
}

static json_t *source_to_json(const struct image_source *source)
{
    return source->files ? json_pack("{s:s, s:s, s:o}", "uuid", source->uuid, "name", source->name, "files",
                                     files_source_to_json(source->files))
                         : json_pack("{s:s, s:s, s:o}", "uuid", source->uuid, "name", source->name, "disks",
                                     disks_to_json(source));
}

static json_t *registry_to_json(const struct image_registry *registry)
{
    json_t *list = json_array();
    bool told = true;
    for (size_t i = 0; i < registry->count; i++) {
        told = json_array_append_new(list, source_to_json(&registry->sources[i])) == 0 && told;
    }
    if (!told) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:o}", "images", list);
}

static int save(const char *data_directory, const struct image_registry *registry, struct error *err)
{
    json_t *root = registry_to_json(registry);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    char *path = registry_path(data_directory);
    int result = text ? os_file_write_whole(path, text, strlen(text), 0600, err)
                      : error_set(err, ERROR_REQUEST_INVALID, "The name or a path is not valid UTF-8.");
    free(path);
    free(text);
    json_decref(root);
    return result;
}

/* The file that a path leads to. A block device keeps the name it was given: what /dev/vg/lv or
 * /dev/disk/by-id/… leads to may be another disk's after the next start of the host. NULL with errno. */
static char *absolute_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (!real || !disk_device_is(real))
        return real;
    const char *slash = strrchr(path, '/');
    char *given = path[0] == '/' ? memory_copy_text(path) : NULL;
    char *directory = !given && slash ? strndup(path, (size_t)(slash - path)) : NULL;
    char *place = given ? NULL : realpath(directory ? directory : ".", NULL);
    if (place)
        given = os_path_join(place, slash ? slash + 1 : path);
    free(place);
    free(directory);
    free(real);
    return given;
}

static int inspect_disks(struct image_source *source, const char *const *paths, size_t count,
                         struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct image_disk *disk = &source->disks[source->disk_count++];
        disk->name = memory_format("disk%zu", i);
        disk->path = absolute_path(paths[i]);
        if (!disk->path)
            return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The disk %s could not be opened.",
                                   paths[i]);
        const char *format = disk_image_probe(disk->path, err);
        if (!format)
            return -1;
        disk->format = memory_copy_text(format);
        struct disk_image image;
        if (disk_image_inspect(disk->path, format, &image, err) != 0)
            return -1;
        disk_image_release(&image);
    }
    return 0;
}

/* A new one with an identity, nothing in it yet. NULL when the name is taken. */
static struct image_source *append_source(struct image_registry *registry, const char *name,
                                          char uuid[IDENTITY_SIZE], struct error *err)
{
    for (size_t i = 0; i < registry->count; i++) {
        if (strcmp(registry->sources[i].name, name) == 0) {
            error_set(err, ERROR_NAME_TAKEN, "A datasource called %s is registered already.", name);
            return NULL;
        }
    }
    registry->sources = memory_resize(registry->sources, registry->count + 1, sizeof *registry->sources);
    struct image_source *source = &registry->sources[registry->count++];
    identity_create(uuid);
    *source = (struct image_source){.uuid = memory_copy_text(uuid), .name = memory_copy_text(name)};
    return source;
}

/* The registry, until the lock is closed this process's to change. */
static struct os_file *load_locked(const char *data_directory, struct image_registry *registry,
                                   struct error *err)
{
    char *lock_path = os_path_join(data_directory, "images.lock");
    struct os_file *lock = os_file_open(lock_path, OS_FILE_OPEN_CREATE, err);
    free(lock_path);
    if (lock && (os_file_lock(lock, err) != 0 || image_registry_load(data_directory, registry, err) != 0)) {
        os_file_close(lock);
        return NULL;
    }
    return lock;
}

/* What a new datasource is made of: paths of disks, or files. */
struct contents {
    const char *const *paths;
    size_t count;
    struct files_source *files;
};

static int add(const char *data_directory, const char *name, const struct contents *contents,
               char uuid[IDENTITY_SIZE], struct error *err)
{
    struct image_registry registry = {0};
    int result = valid_name(name) ? 0
                                  : error_set(err, ERROR_REQUEST_INVALID,
                                              "\"%.80s\" can't be the name of a datasource.", name);
    struct os_file *lock = result == 0 ? load_locked(data_directory, &registry, err) : NULL;
    struct image_source *source = lock ? append_source(&registry, name, uuid, err) : NULL;
    if (source) {
        source->files = contents->files;
        source->disks = memory_array(contents->count + 1, sizeof *source->disks);
        result = inspect_disks(source, contents->paths, contents->count, err);
        if (result == 0)
            result = save(data_directory, &registry, err);
    } else {
        files_source_destroy(contents->files);
        result = -1;
    }
    image_registry_release(&registry);
    os_file_close(lock);
    return result;
}

int image_registry_add(const char *data_directory, const char *name, const char *const *paths, size_t count,
                       char uuid[IDENTITY_SIZE], struct error *err)
{
    if (count == 0 || count > DISKS_MAX)
        return error_set(err, ERROR_REQUEST_INVALID, "An image has 1 to %d disks, not %zu.", DISKS_MAX,
                         count);
    return add(data_directory, name, &(struct contents){.paths = paths, .count = count}, uuid, err);
}

int image_registry_add_files(const char *data_directory, const char *name, struct files_source *files,
                             char uuid[IDENTITY_SIZE], struct error *err)
{
    return add(data_directory, name, &(struct contents){.files = files}, uuid, err);
}

/* What backups of files keep for the next one. */
static void remove_layout(const char *data_directory, const char *uuid)
{
    struct error err;
    char *path = files_layout_path(data_directory, uuid);
    if (os_path_remove(path, &err) != 0)
        log_error("the layout of files could not be removed", &err);
    free(path);
}

static int remove_source(const char *data_directory, struct image_registry *registry, const char *name,
                         struct error *err)
{
    size_t kept = 0;
    size_t count = registry->count;
    for (size_t i = 0; i < count; i++) {
        struct image_source *source = &registry->sources[i];
        if (strcmp(source->name, name) != 0) {
            registry->sources[kept++] = *source;
            continue;
        }
        if (source->files)
            remove_layout(data_directory, source->uuid);
        release_source(source);
    }
    registry->count = kept;
    if (kept == count)
        return error_set(err, ERROR_VM_NOT_FOUND, "No datasource called %.200s is registered.", name);
    return save(data_directory, registry, err);
}

int image_registry_remove(const char *data_directory, const char *name, struct error *err)
{
    struct image_registry registry = {0};
    struct os_file *lock = load_locked(data_directory, &registry, err);
    if (!lock)
        return -1;
    int result = remove_source(data_directory, &registry, name, err);
    image_registry_release(&registry);
    os_file_close(lock);
    return result;
}
