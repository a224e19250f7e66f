/* The room without libnbd: raw files and devices work, everything else says what is missing. */
#include "disk/disk_reader_nbd.h"
#include "disk/disk_writer_internal.h"

static void missing(const char *what, struct error *err)
{
    error_set(err, ERROR_TOOL_FAILED, "%s needs libnbd, which this program was built without.", what);
}

struct disk_reader *disk_reader_open_nbd(const char *uri, const char *dirty_bitmap, struct error *err)
{
    (void)dirty_bitmap;
    missing(uri, err);
    return NULL;
}

struct disk_reader *disk_reader_open_server(struct qemu_nbd *server, const char *label,
                                            const char *dirty_bitmap, struct error *err)
{
    (void)dirty_bitmap;
    qemu_nbd_stop(server);
    missing(label, err);
    return NULL;
}

struct disk_writer *disk_writer_create_image(const char *path, const char *format, uint64_t size,
                                             struct error *err)
{
    (void)format, (void)size;
    missing(path, err);
    return NULL;
}
