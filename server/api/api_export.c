/*
 * A disk of a recovery point as a stream, for `holdfast restore disk`. Everything is little-endian:
 *   start   "HFXS", u32 chunk size, u64 disk size
 *   run     "HFXR", u8 compression (0 plain, 1 zstd), u8 chunks (1 to 16), u16 0, u32 places, u32 payload
 * length, chunks × name[32], places × {u64 chunk index on the disk, u32 which chunk of the run}, payload end
 * "HFXE", u64 places in all failure "HFXF", u32 length, JSON error What no run names is zeros. The last chunk
 * of a disk is padded with zeros.
 */
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/api/api_internal.h"
#include "server/catalog/catalog_deletion.h"
#include "server/catalog/catalog_snapshots.h"
#include "server/transfer/restore_send.h"

#include <stdlib.h>
#include <string.h>

enum { EXPORT_HEADER_SIZE = 16, EXPORT_PLACE_SIZE = 12, EXPORT_PIECE_MAX = 32 * 1024 * 1024 };

struct api_export {
    struct store *store;
    struct point *point;
    const struct point_disk *disk;
    api_sink sink;
    void *cookie;
    uint64_t places;
};

int api_point_data(struct api_call *call, struct error *err)
{
    const struct catalog_point *found =
        catalog_stored_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    struct store *store = server_store(call->server);
    struct point *point =
        found != NULL && catalog_point_check_live(found, err) == 0 ? point_read(store, found->id, err) : NULL;
    if (point == NULL) {
        return -1;
    }
    const struct point_disk *disk = point_find_disk(point, call->parameters[1]);
    if (disk == NULL) {
        error_set(err, ERROR_DISK_NOT_FOUND, "Recovery point %s of %s has no disk %s", point->id,
                  point->vm_name, call->parameters[1]);
        point_destroy(point);
        return -1;
    }
    log_event(LOG_INFO, "disk exported", "point=%s disk=%s", point->id, disk->name);
    call->export = memory_zalloc(sizeof *call->export);
    *call->export = (struct api_export){.store = store, .point = point, .disk = disk};
    return 0;
}

static int send_run(void *cookie, const struct restore_run *run, struct error *err)
{
    struct api_export *export = cookie;
    struct buffer piece;
    uint8_t header[EXPORT_HEADER_SIZE] = "HFXR";
    buffer_init(&piece, EXPORT_PIECE_MAX);
    header[4] = (uint8_t)run->compression;
    header[5] = (uint8_t)run->count;
    bytes_put_u32(header + 8, (uint32_t)run->place_count);
    bytes_put_u32(header + 12, (uint32_t)run->length);
    buffer_append(&piece, header, sizeof header);
    buffer_append(&piece, run->names, run->count * sizeof *run->names);
    for (size_t i = 0; i < run->place_count; i++) {
        uint8_t place[EXPORT_PLACE_SIZE];
        bytes_put_u64(place, run->indices[i]);
        bytes_put_u32(place + 8, run->positions[i]);
        buffer_append(&piece, place, sizeof place);
    }
    int result = buffer_append(&piece, run->payload, run->length);
    if (result == 0) {
        result = export->sink(export->cookie, piece.data, piece.length);
    }
    buffer_free(&piece);
    export->places += run->place_count;
    return result == 0 ? 0 : error_set(err, ERROR_CONNECTION_LOST, "The client of an export went away");
}

static int send_failure(struct api_export *export, const struct error *err)
{
    json_t *object = api_error_json(err);
    char *text = json_dumps(object, JSON_COMPACT);
    struct buffer piece;
    uint8_t header[8] = "HFXF";
    buffer_init(&piece, EXPORT_PIECE_MAX);
    bytes_put_u32(header + 4, text != NULL ? (uint32_t)strlen(text) : 0);
    buffer_append(&piece, header, sizeof header);
    buffer_append_text(&piece, text != NULL ? text : "");
    int result = export->sink(export->cookie, piece.data, piece.length);
    buffer_free(&piece);
    free(text);
    json_decref(object);
    return result;
}

int api_export_run(struct api_export *export, api_sink sink, void *cookie)
{
    struct error err;
    uint8_t start[EXPORT_HEADER_SIZE] = "HFXS";
    uint8_t end[12] = "HFXE";
    export->sink = sink;
    export->cookie = cookie;
    bytes_put_u32(start + 4, store_chunk_size(export->store));
    bytes_put_u64(start + 8, export->disk->size);
    if (sink(cookie, start, sizeof start) != 0) {
        return -1;
    }
    if (restore_plan_disk(export->store, export->disk, send_run, export, &err) != 0) {
        if (err.code == ERROR_CHUNK_DAMAGED) {
            error_wrap(&err, ERROR_CHUNK_DAMAGED,
                       "Disk %s of recovery point %s of %s is damaged in the store", export->disk->name,
                       export->point->id, export->point->vm_name);
        }
        log_error("an export failed", &err);
        return send_failure(export, &err);
    }
    bytes_put_u64(end + 4, export->places);
    return sink(cookie, end, sizeof end);
}

void api_export_destroy(struct api_export *export)
{
    if (export != NULL) {
        point_destroy(export->point);
        free(export);
    }
}
