#include "server/catalog/point_import.h"

static const char *text(const char *value)
{
    return value == NULL ? "" : value;
}

struct catalog_point_disk *point_row_from_store(struct arena *arena, const struct point *point,
                                                struct catalog_point *row)
{
    *row = (struct catalog_point){.id = point->id,
                                  .vm_id = point->datasource,
                                  .vm_name = text(point->vm_name),
                                  .host_id = text(point->host_id),
                                  .host_name = text(point->host_name),
                                  .kind = text(point->kind),
                                  .parent = point->parent,
                                  .job_id = "",
                                  .time_ms = point->time_ms,
                                  .committed_ms = point->committed_ms,
                                  .locked_until_ms = point->locked_until_ms,
                                  .retain_until_ms = point->retain_until_ms,
                                  .mode = text(point->mode),
                                  .reason = "",
                                  .consistency = text(point->consistency),
                                  .consistency_reason = text(point->consistency_reason),
                                  .read_bytes = point->read_bytes,
                                  .sent_bytes = point->sent_bytes,
                                  .stored_bytes = point->stored_bytes};
    struct catalog_point_disk *disks = arena_alloc(arena, (point->disk_count + 1) * sizeof *disks);
    for (size_t i = 0; i < point->disk_count; i++) {
        const struct point_disk *disk = &point->disks[i];
        disks[i] = (struct catalog_point_disk){.name = disk->name,
                                               .format = text(disk->format),
                                               .size = disk->size,
                                               .transferred_bytes = disk->transferred_bytes};
        row->size += disk->size;
    }
    return disks;
}
