#include "server/catalog/point_import.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

struct import {
    struct catalog *catalog;
    struct store *store;
    struct arena *arena;
    struct point **points; /* those that the catalog lacks */
    size_t count;
};

static int import_visit(void *cookie, const char *id)
{
    struct import *import = cookie;
    struct error err;
    struct arena *arena = arena_create();
    bool known = catalog_point_find(import->catalog, arena, id, &err) != NULL;
    arena_destroy(arena);
    if (known) {
        return 0;
    }
    if (err.code != ERROR_RP_NOT_FOUND) {
        log_error("recovery point not looked up", &err);
        return 0;
    }
    struct point *point = point_read(import->store, id, &err);
    if (point == NULL) {
        log_error("recovery point not listed", &err);
        return 0;
    }
    import->points = arena_grow(import->arena, import->points, import->count, sizeof(struct point *));
    import->points[import->count++] = point;
    return 0;
}

static int compare_times(const void *a, const void *b)
{
    const struct point *first = *(const struct point *const *)a;
    const struct point *second = *(const struct point *const *)b;
    return (first->committed_ms > second->committed_ms) - (first->committed_ms < second->committed_ms);
}

static const char *text(const char *value)
{
    return value == NULL ? "" : value;
}

/* A host that only the store tells of. Its name may be used by another one by now. */
static int import_host(struct import *import, const struct point *point, struct error *err)
{
    const struct catalog_host *known = catalog_host_find(import->catalog, import->arena, point->host_id, err);
    if (known != NULL && strcmp(known->id, point->host_id) == 0) {
        return 0;
    }
    if (known == NULL && err->code != ERROR_HOST_NOT_FOUND) {
        return -1;
    }
    struct error ignored; /* not found is what is hoped for */
    const struct catalog_host *namesake =
        catalog_host_find(import->catalog, import->arena, text(point->host_name), &ignored);
    bool taken = namesake != NULL && namesake->state != HOST_RETIRED;
    struct catalog_host host = {
        .id = point->host_id,
        .name = taken ? arena_format(import->arena, "%s-%.8s", text(point->host_name), point->host_id)
                      : text(point->host_name),
        .state = HOST_UNREACHABLE,
        .state_since_ms = clock_wall_ms(),
        .kinds = text(point->kind)};
    return catalog_host_put(import->catalog, &host, err);
}

static int import_vm(struct import *import, const struct point *point, struct error *err)
{
    const struct catalog_vm *known = catalog_vm_find(import->catalog, import->arena, point->datasource, err);
    if (known != NULL) {
        return 0;
    }
    if (err->code != ERROR_VM_NOT_FOUND || import_host(import, point, err) != 0) {
        return -1;
    }
    struct catalog_vm vm = {.id = point->datasource,
                            .host_id = point->host_id,
                            .uuid = point->vm_uuid == NULL ? point->datasource : point->vm_uuid,
                            .kind = text(point->kind),
                            .name = text(point->vm_name),
                            .power = "unknown",
                            .vanished_ms = clock_wall_ms()};
    return catalog_vm_insert(import->catalog, &vm, err);
}

static int import_point(struct import *import, const struct point *point, struct error *err)
{
    struct catalog_point row;
    struct catalog_point_disk *disks = point_row_from_store(import->arena, point, &row);
    if (import_vm(import, point, err) != 0 ||
        catalog_point_insert(import->catalog, &row, disks, point->disk_count, err) != 0) {
        return -1;
    }
    if (text(point->tracking)[0] == '\0') {
        return 0;
    }
    /* What it left out is not known here, and no agent gives this: it reads every block once. */
    struct catalog_tracking tracking = {
        .name = point->tracking, .point_id = point->id, .left_out = "unknown"};
    return catalog_tracking_add(import->catalog, point->datasource, &tracking, err) != 0
               ? -1
               : catalog_tracking_trim(import->catalog, point->datasource, err);
}

/* One transaction a point: one that can't be listed does not keep the others out. */
static bool import_one(struct import *import, const struct point *point)
{
    struct error err;
    if (catalog_begin(import->catalog, &err) != 0) {
        log_error("recovery point not listed", &err);
        return false;
    }
    int result = import_point(import, point, &err);
    result = catalog_end(import->catalog, result, &err);
    if (result != 0) {
        log_error("recovery point not listed", &err);
    } else {
        log_event(LOG_INFO, "recovery point found in the store", "point=%s vm=\"%s\"", point->id,
                  text(point->vm_name));
    }
    return result == 0;
}

int point_import_all(struct catalog *catalog, struct store *store, uint64_t *imported, struct error *err)
{
    struct import import = {.catalog = catalog, .store = store, .arena = arena_create()};
    *imported = 0;
    int result = point_list(store, import_visit, &import, err);
    if (import.count > 1) {
        qsort(import.points, import.count, sizeof(struct point *), compare_times);
    }
    for (size_t i = 0; i < import.count; i++) {
        *imported += result == 0 && import_one(&import, import.points[i]);
        point_destroy(import.points[i]);
    }
    arena_destroy(import.arena);
    return result;
}

int point_mark_missing(struct catalog *catalog, struct store *store, struct error *err)
{
    enum { LOGGED_MAX = 100 };
    struct catalog_page page = {0};
    size_t count = 0;
    size_t marked = 0;
    do {
        struct arena *arena = arena_create();
        const struct catalog_point *points = NULL;
        int result = catalog_point_list(catalog, arena, NULL, &page, &points, &count, err);
        bool begun = result == 0 && (result = catalog_begin(catalog, err)) == 0; /* one sync a page */
        for (size_t i = 0; i < count && result == 0; i++) {
            struct error missing;
            struct point *point = points[i].damaged ? NULL : point_read(store, points[i].id, &missing);
            if (point == NULL && !points[i].damaged &&
                (missing.code == ERROR_RP_NOT_FOUND || missing.code == ERROR_RP_DAMAGED)) {
                if (marked++ < LOGGED_MAX) {
                    log_error("recovery point is damaged", &missing);
                }
                result = catalog_point_set_verified(catalog, points[i].id, true, err);
            }
            point_destroy(point);
            page.after = points[i].number;
        }
        if (begun) {
            result = catalog_end(catalog, result, err);
        }
        arena_destroy(arena);
        if (result != 0) {
            return -1;
        }
    } while (count == CATALOG_PAGE_MAX);
    if (marked > LOGGED_MAX) {
        log_event(LOG_ERROR, "more recovery points are damaged", "all=%zu", marked);
    }
    return 0;
}
