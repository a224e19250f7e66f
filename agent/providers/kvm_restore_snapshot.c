/* A restore from a snapshot that stayed on this host: what the server would have said is in its record. */
#include "agent/providers/job_journal.h"
#include "agent/providers/kvm_internal.h"
#include "agent/snapshots/host_snapshots.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

static char *text_of(const json_t *record, const char *name)
{
    return (char *)(uintptr_t)job_journal_text(record, name);
}

/* The request with the snapshot's VM and disks; borrows from both. */
static struct provider_restore *begin_with(struct kvm_provider *provider,
                                           const Holdfast__RestoreRequest *request, const json_t *record,
                                           struct error *err)
{
    const json_t *list = json_object_get(record, "disks");
    size_t count = json_array_size(list);
    Holdfast__RestoreRequest whole = *request;
    Holdfast__RestoreDisk *disks = memory_array(count + 1, sizeof *disks);
    Holdfast__RestoreDisk **pointers = memory_array(count + 1, sizeof *pointers);
    const char **sources = memory_array(count + 1, sizeof *sources);
    for (size_t i = 0; i < count; i++) {
        const json_t *disk = json_array_get(list, i);
        holdfast__restore_disk__init(&disks[i]);
        disks[i].name = text_of(disk, "name");
        disks[i].format = text_of(disk, "format");
        disks[i].size = (uint64_t)json_integer_value(json_object_get(disk, "size"));
        pointers[i] = &disks[i];
        sources[i] = text_of(disk, "clone");
    }
    whole.disks = pointers;
    whole.n_disks = count;
    whole.configuration = text_of(record, "configuration");
    whole.vm_uuid = text_of(record, "vm_uuid");
    whole.vm_name = text_of(record, "vm_name");
    struct provider_restore *restore = kvm_restore_begin_copy(provider, &whole, sources, err);
    free(sources);
    free(pointers);
    free(disks);
    return restore;
}

struct provider_restore *kvm_restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                           struct error *err)
{
    struct kvm_provider *provider = self;
    json_t *record = NULL;
    if (request->host_snapshot[0] == '\0')
        return kvm_restore_begin_copy(provider, request, NULL, err);
    if (!provider->snapshots) {
        error_set(err, ERROR_SNAPSHOT_GONE, "This host keeps no snapshots.");
        return NULL;
    }
    struct host_snapshot *snapshot =
        host_snapshots_take(provider->snapshots, request->host_snapshot, &record, err);
    if (!snapshot)
        return NULL;
    struct provider_restore *restore = begin_with(provider, request, record, err);
    json_decref(record);
    host_snapshots_give_back(provider->snapshots, snapshot);
    return restore;
}
