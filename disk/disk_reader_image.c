#include "base/error.h"
#include "disk/disk_reader_nbd.h"
#include <string.h>

struct disk_reader *disk_reader_open_image(const char *path, const char *format,
                                           const char *persistent_bitmap, struct error *err)
{
    if (strcmp(format, "raw") == 0 && !persistent_bitmap)
        return disk_reader_open_raw(path, err); /* no detour */
    struct qemu_nbd_image image = {.path = path, .format = format, .bitmap = persistent_bitmap, .clients = 1};
    struct qemu_nbd *server = qemu_nbd_start(&image, err);
    if (server) {
        struct disk_reader *reader = disk_reader_open_server(server, path, persistent_bitmap, err);
        if (reader)
            return reader;
    }
    if (err->code == ERROR_TOOL_FAILED) /* for who reads a disk, that is what it comes to */
        error_wrap(err, ERROR_DISK_READ_FAILED, "The disk %s could not be opened.", path);
    return NULL;
}
