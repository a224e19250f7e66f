/* What the process that looks for page files printed, and what an earlier backup told of them. */
#include "agent/backup_pages.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { DISK = 1048576 };
    struct error err;
    struct disk_pages_range *ranges;
    size_t count;
    bool asleep;
    if (backup_pages_parse((const char *)data, size, DISK, &ranges, &count, &asleep, &err) == 0) {
        for (size_t i = 0; i < count; i++) {
            if (ranges[i].offset > DISK || ranges[i].length > DISK - ranges[i].offset) {
                abort();
            }
        }
        free(ranges);
    }
    Holdfast__BackupBeginReply begun = HOLDFAST__BACKUP_BEGIN_REPLY__INIT;
    Holdfast__BackupDisk disk = HOLDFAST__BACKUP_DISK__INIT;
    Holdfast__BackupDisk *disks[] = {&disk};
    char name[] = "vda";
    disk.name = name;
    disk.size = DISK;
    begun.disks = disks;
    begun.n_disks = 1;
    char *text = malloc(size + 1);
    if (text == NULL) {
        abort();
    }
    memcpy(text, data, size);
    text[size] = '\0';
    backup_pages_destroy(backup_pages_recall(text, &begun));
    free(text);
    return 0;
}
