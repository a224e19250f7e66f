#include "storage/point.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/point_internal.h"
#include "storage/store_internal.h"
#include <stdlib.h>
#include <string.h>

struct point *point_create(void)
{
    return memory_zalloc(sizeof(struct point));
}

void point_destroy(struct point *point)
{
    if (point == NULL) {
        return;
    }
    for (size_t i = 0; i < point->disk_count; i++) {
        free(point->disks[i].name);
        free(point->disks[i].format);
    }
    free(point->disks);
    free(point->vm_name);
    free(point->vm_uuid);
    free(point->host_id);
    free(point->host_name);
    free(point->kind);
    free(point->mode);
    free(point->consistency);
    free(point->consistency_reason);
    free(point->configuration);
    free(point->tracking);
    free(point);
}

struct point_disk *point_add_disk(struct point *point, const char *name)
{
    point->disks = memory_resize(point->disks, point->disk_count + 1, sizeof *point->disks);
    struct point_disk *disk = &point->disks[point->disk_count++];
    memset(disk, 0, sizeof *disk);
    disk->name = memory_copy_text(name);
    return disk;
}

const struct point_disk *point_find_disk(const struct point *point, const char *name)
{
    for (size_t i = 0; i < point->disk_count; i++) {
        if (strcmp(point->disks[i].name, name) == 0) {
            return &point->disks[i];
        }
    }
    return NULL;
}

static char *point_path(const struct store *store, const char *id)
{
    return memory_format("%s/%s.hfp", store->points, id);
}

int point_commit(struct store *store, struct point *point, struct error *err)
{
    if (store_sync(store, err) != 0) {
        return -1;
    }
    point->committed_ms = clock_wall_ms();
    json_t *root = point_to_json(point);
    char *path = point_path(store, point->id);
    int result = root == NULL ? error_set(err, ERROR_INTERNAL, "Point %s can't be encoded", point->id)
                 : os_path_exists(path) ? error_set(err, ERROR_INTERNAL, "Point %s exists already", point->id)
                                        : envelope_write(path, root, err);
    if (result != 0 && err->code == ERROR_FILE_FAILED) {
        error_wrap(err, os_file_error_is_full(err) ? ERROR_STORE_FULL : ERROR_STORE_UNAVAILABLE,
                   "Recovery point %s could not be written to store %s", point->id, store->directory);
    }
    json_decref(root);
    free(path);
    return result;
}

struct point *point_read(struct store *store, const char *id, struct error *err)
{
    char *path = point_path(store, id);
    struct point *point = NULL;
    if (!identity_is_valid(id) || !os_path_exists(path)) {
        error_set(err, ERROR_RP_NOT_FOUND, "There is no recovery point %s in the store", id);
    } else {
        json_t *root = envelope_read(path, err);
        point = root != NULL ? point_from_json(root) : NULL;
        if (point == NULL && root != NULL) {
            error_set(err, ERROR_RP_DAMAGED, "The record of recovery point %s is damaged", id);
        }
        json_decref(root);
    }
    free(path);
    return point;
}

int point_delete(struct store *store, const char *id, struct error *err)
{
    char *path = point_path(store, id);
    int result = 0;
    if (!identity_is_valid(id) || !os_path_exists(path)) {
        result = error_set(err, ERROR_RP_NOT_FOUND, "There is no recovery point %s in the store", id);
    } else if (os_path_remove(path, err) != 0 || os_path_sync_directory(store->points, err) != 0) {
        result = -1;
    }
    free(path);
    return result;
}

struct point_visit {
    int (*visit)(void *cookie, const char *id);
    void *cookie;
};

static int list_visit(void *cookie, const char *name)
{
    struct point_visit *list = cookie;
    char id[IDENTITY_SIZE];
    if (strlen(name) != IDENTITY_SIZE - 1 + 4 || strcmp(name + IDENTITY_SIZE - 1, ".hfp") != 0) {
        return 0;
    }
    memcpy(id, name, IDENTITY_SIZE - 1);
    id[IDENTITY_SIZE - 1] = '\0';
    return identity_is_valid(id) ? list->visit(list->cookie, id) : 0;
}

int point_list(struct store *store, int (*visit)(void *cookie, const char *id), void *cookie,
               struct error *err)
{
    struct point_visit list = {.visit = visit, .cookie = cookie};
    return os_path_list(store->points, list_visit, &list, err);
}
