#include "agent/snapshots/snapshot_copy.h"
#include "agent/snapshots/file_clone.h"
#include "agent/snapshots/volume_copy.h"
#include "base/os_process.h"
#include "disk/disk_device.h"
#include "disk/disk_image.h"
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { CHECK_LEAKS = 3 }; /* qemu-img(1), "check": clusters that nobody uses cost space only */

static int check_tables(const char *path, struct error *err)
{
    const char *const argv[] = {"qemu-img", "check", "-q", "-f", "qcow2", path, NULL};
    struct os_process *process = os_process_start(argv, err);
    int status = -1;
    if (!process)
        return -1;
    int result = os_process_wait(process, &status, err);
    if (result == 0 && status != 0 && status != CHECK_LEAKS) {
        error_set(err, ERROR_SNAPSHOT_GONE, "The snapshot's copy %s is damaged.", path);
        result = error_set_cause(err, "%s", os_process_last_words(process));
    }
    os_process_stop(process, 0);
    return result;
}

static int remove_bitmaps(const char *path, struct error *err)
{
    struct disk_image image;
    if (disk_image_inspect(path, "qcow2", &image, err) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < image.bitmap_count && result == 0; i++)
        result = disk_image_remove_bitmap(path, "qcow2", image.bitmaps[i].name, err);
    disk_image_release(&image);
    return result;
}

int snapshot_copy(const char *clone, const char *format, const char *path, struct error *err)
{
    int copied =
        disk_device_is(clone) ? volume_copy_to_file(clone, path, err) : file_clone_copy(clone, path, err);
    if (copied != 0)
        return -1;
    if (strcmp(format, "qcow2") == 0 && (check_tables(path, err) != 0 || remove_bitmaps(path, err) != 0)) {
        (void)unlink(path);
        return -1;
    }
    return 0;
}
