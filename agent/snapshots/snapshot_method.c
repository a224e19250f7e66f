#include "agent/snapshots/snapshot_method.h"
#include "agent/providers/job_journal.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

const struct snapshot_method *const snapshot_methods[SNAPSHOT_METHODS] = {&snapshot_method_clone,
                                                                          &snapshot_method_lvm};

const struct snapshot_method *snapshot_method_for(const struct snapshot_make_disk *disk, struct error *err)
{
    struct stat info;
    if (stat(disk->path, &info) != 0) {
        error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "%s can't be opened.", disk->path);
        return NULL;
    }
    if (S_ISREG(info.st_mode))
        return &snapshot_method_clone;
    if (S_ISBLK(info.st_mode))
        return &snapshot_method_lvm;
    error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "The disk %s is neither a file nor a block device: %s.",
              disk->name, disk->path);
    return NULL;
}

const struct snapshot_method *snapshot_method_of(const json_t *record)
{
    const char *name = job_journal_text(record, "method");
    for (size_t i = 0; i < SNAPSHOT_METHODS; i++) {
        if (strcmp(snapshot_methods[i]->name, name) == 0)
            return snapshot_methods[i];
    }
    return &snapshot_method_clone;
}
