/*
 * What an image file is: its format, the size that the guest sees, its persistent dirty bitmaps (qemu-img(1),
 * "info"). Works on images that are in use.
 */
#ifndef HOLDFAST_DISK_DISK_IMAGE_H
#define HOLDFAST_DISK_DISK_IMAGE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_image_bitmap {
    char *name;
    bool in_use; /* open in QEMU, or QEMU did not end well: then it can't be trusted */
};

struct disk_image {
    char *format;
    uint64_t size;      /* bytes, as the guest sees it */
    uint64_t allocated; /* bytes on the host */
    char *backing_file; /* or NULL */
    struct disk_image_bitmap *bitmaps;
    size_t bitmap_count;
};

/* The format by the first bytes of the file: "qcow2", "vhdx", "vmdk", "vpc", or "raw" when it is none of
 * them. Only for a file that no guest has written yet as a raw disk: the guest can put any header there.
 * Static text. NULL on error. */
const char *disk_image_probe(const char *path, struct error *err);
/* Fills *image, which disk_image_release frees. DISK_READ_FAILED. */
int disk_image_inspect(const char *path, const char *format, struct disk_image *image, struct error *err);
/* Does an image below this one in its chain of backing files have a bitmap of that name, too? Then the one
 * above began only when the upper image was made, and what was written before is recorded below. True also
 * when the chain can't be inspected. */
bool disk_image_bitmap_below(const char *path, const char *format, const char *name);
/* Only the size that the guest sees, cheap enough to be asked every second; formats other than raw and qcow2
 * go the long way. */
int disk_image_size(const char *path, const char *format, uint64_t *size, struct error *err);
/* Can the image hold persistent dirty bitmaps? (qcow2 of version 3 and later.) */
bool disk_image_keeps_bitmaps(const char *path, const char *format);
/* Does some QEMU hold the file or device open for writing? (QEMU locks what it writes.) */
bool disk_image_in_use(const char *path);
/* Begin a persistent dirty bitmap in an image that nobody has open, or delete one, broken or not (0 when it
 * is not there). The image is locked meanwhile, some 20 ms: a QEMU that opens it just then fails.
 * TOOL_FAILED. */
int disk_image_add_bitmap(const char *path, const char *format, const char *name, struct error *err);
int disk_image_remove_bitmap(const char *path, const char *format, const char *name, struct error *err);
void disk_image_release(struct disk_image *image);
/* NULL when there is none of that name. */
const struct disk_image_bitmap *disk_image_bitmap(const struct disk_image *image, const char *name);

#endif
