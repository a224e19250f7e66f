/* The stream of an exported disk, as a server that is not ours may send it. Nothing is written: the writer is
 * of a small file that is removed. */
#include "cli/extents.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { DISK = 1048576, PIECE = 100 };
    char path[64];
    struct error err;
    struct failure failure;
    snprintf(path, sizeof path, "/tmp/holdfast-fuzz-%ld", (long)getpid());
    struct disk_writer *writer = disk_writer_create(path, "raw", DISK, &err);
    if (writer == NULL) {
        abort();
    }
    struct extents *extents = extents_create(writer, DISK);
    int result = 0;
    for (size_t at = 0; at < size && result == 0; at += PIECE) {
        result = extents_feed(extents, data + at, size - at < PIECE ? size - at : PIECE, &failure);
    }
    extents_finish(extents, &failure);
    extents_destroy(extents);
    disk_writer_abandon(writer);
    return 0;
}
