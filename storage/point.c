#include "storage/point.h"

#include "base/clock.h"
#include "base/memory.h"
#include "storage/point_internal.h"
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

static char *point_object(const char *id)
{
    return memory_format("points/%s.hfp", id);
}

/* 1 there, 0 not, -1 error. */
static int point_is_there(struct store *store, const char *id, struct error *err)
{
    char *object = point_object(id);
    uint64_t size;
    int found =
        identity_is_valid(id) ? store->backend->operations->size(store->backend, object, &size, err) : 0;
    free(object);
    return found;
}

int point_commit(struct store *store, struct point *point, struct error *err)
{
    if (store_sync(store, err) != 0) {
        return -1;
    }
    point->committed_ms = clock_wall_ms();
    int found = point_is_there(store, point->id, err);
    if (found != 0) {
        return found < 0 ? -1 : error_set(err, ERROR_INTERNAL, "Point %s exists already", point->id);
    }
    json_t *root = point_to_json(point);
    if (root == NULL) {
        return error_set(err, ERROR_INTERNAL, "Point %s can't be encoded", point->id);
    }
    char *object = point_object(point->id);
    int result = envelope_write(store, object, root, err);
    json_decref(root);
    free(object);
    return result;
}

static int not_found(const char *id, struct error *err)
{
    return error_set(err, ERROR_RP_NOT_FOUND, "There is no recovery point %s in the store", id);
}

struct point *point_read(struct store *store, const char *id, struct error *err)
{
    json_t *root;
    if (!identity_is_valid(id)) {
        not_found(id, err);
        return NULL;
    }
    char *object = point_object(id);
    int found = envelope_read(store, object, &root, err);
    free(object);
    if (found != 1) {
        if (found == 0) {
            not_found(id, err);
        }
        return NULL;
    }
    struct point *point = point_from_json(root);
    json_decref(root);
    /* A record under another's name is no record of it. */
    if (point == NULL || strcmp(point->id, id) != 0) {
        point_destroy(point);
        error_set(err, ERROR_RP_DAMAGED, "The record of recovery point %s is damaged", id);
        return NULL;
    }
    return point;
}

int point_delete(struct store *store, const char *id, struct error *err)
{
    int found = point_is_there(store, id, err);
    if (found != 1) {
        return found < 0 ? -1 : not_found(id, err);
    }
    char *object = point_object(id);
    int result = store->backend->operations->remove(store->backend, object, err);
    free(object);
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
    return store->backend->operations->list(store->backend, "points", list_visit, &list, err);
}
