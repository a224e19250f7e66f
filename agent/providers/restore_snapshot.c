#include "agent/providers/restore_snapshot.h"
#include "agent/providers/job_journal.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

/* The request with the snapshot's VM and disks; borrows from the record. */
struct whole_request {
    Holdfast__RestoreRequest request;
    Holdfast__RestoreDisk *disks;
    Holdfast__RestoreDisk **pointers;
    char **sources;
    size_t count;
};

static char *text_of(const json_t *record, const char *name)
{
    return (char *)(uintptr_t)job_journal_text(record, name);
}

static int whole_fill(struct whole_request *whole, const json_t *record, struct error *err)
{
    const json_t *list = json_object_get(record, "disks");
    size_t count = json_array_size(list);
    whole->disks = memory_array(count + 1, sizeof *whole->disks);
    whole->pointers = memory_array(count + 1, sizeof *whole->pointers);
    whole->sources = memory_array(count + 1, sizeof *whole->sources);
    for (; whole->count < count; whole->count++) {
        const json_t *disk = json_array_get(list, whole->count);
        Holdfast__RestoreDisk *out = &whole->disks[whole->count];
        holdfast__restore_disk__init(out);
        out->name = text_of(disk, "name");
        out->format = text_of(disk, "format");
        out->size = (uint64_t)json_integer_value(json_object_get(disk, "size"));
        whole->pointers[whole->count] = out;
        whole->sources[whole->count] = host_snapshots_locate(disk, err);
        if (!whole->sources[whole->count])
            return -1;
    }
    whole->request.disks = whole->pointers;
    whole->request.n_disks = count;
    whole->request.configuration = text_of(record, "configuration");
    whole->request.vm_uuid = text_of(record, "vm_uuid");
    whole->request.vm_name = text_of(record, "vm_name");
    return 0;
}

static void whole_release(struct whole_request *whole)
{
    for (size_t i = 0; i < whole->count; i++)
        free(whole->sources[i]);
    free(whole->sources);
    free(whole->pointers);
    free(whole->disks);
}

struct provider_restore *restore_snapshot_begin(struct host_snapshots *snapshots, restore_begin_copy begin,
                                                void *self, const Holdfast__RestoreRequest *request,
                                                struct error *err)
{
    json_t *record = NULL;
    struct provider_restore *restore = NULL;
    if (request->host_snapshot[0] == '\0')
        return begin(self, request, NULL, err);
    if (!snapshots) {
        error_set(err, ERROR_SNAPSHOT_GONE, "This host keeps no snapshots.");
        return NULL;
    }
    struct host_snapshot *snapshot = host_snapshots_take(snapshots, request->host_snapshot, &record, err);
    if (!snapshot)
        return NULL;
    struct whole_request whole = {.request = *request};
    if (whole_fill(&whole, record, err) == 0)
        restore = begin(self, &whole.request, (const char *const *)whole.sources, err);
    whole_release(&whole);
    json_decref(record);
    host_snapshots_give_back(snapshots, snapshot);
    return restore;
}
