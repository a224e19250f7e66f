#include "disk/disk_image.h"
#include "base/memory.h"
#include "base/os_process.h"
#include "disk/disk_file.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INFO_LIMIT = 4 * 1024 * 1024,
    BITMAPS_MAX = 65535, /* QEMU's own limit */
};

const char *disk_image_probe(const char *path, struct error *err)
{
    static const struct {
        const char *magic;
        const char *format;
    } known[] = {{"QFI\xfb", "qcow2"}, {"vhdxfile", "vhdx"}, {"KDMV", "vmdk"}, {"conectix", "vpc"}};
    char head[8] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t size = 0;
    if (fd < 0) {
        error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The disk %s could not be opened.", path);
        return NULL;
    }
    const char *format = NULL;
    if (disk_file_size(fd, path, &size, err) == 0) {
        if (pread(fd, head, sizeof head, 0) < 0) {
            error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The disk %s could not be read.", path);
        } else {
            format = "raw";
            for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
                if (memcmp(head, known[i].magic, strlen(known[i].magic)) == 0)
                    format = known[i].format;
            }
        }
    }
    close(fd);
    return format;
}

static int inspect_raw(const char *path, struct disk_image *image, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The disk %s could not be opened.", path);
    struct stat info;
    int result = disk_file_size(fd, path, &image->size, err);
    image->allocated = image->size;
    if (result == 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        image->allocated = (uint64_t)info.st_blocks * 512;
    close(fd);
    if (result == 0)
        image->format = memory_copy_text("raw");
    return result;
}

static void take_bitmaps(const json_t *list, struct disk_image *image)
{
    size_t count = json_array_size(list);
    if (count == 0 || count > BITMAPS_MAX)
        return;
    image->bitmaps = memory_array(count, sizeof *image->bitmaps);
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (!name)
            continue;
        struct disk_image_bitmap *bitmap = &image->bitmaps[image->bitmap_count++];
        bitmap->name = memory_copy_text(name);
        const json_t *flags = json_object_get(entry, "flags");
        for (size_t f = 0; f < json_array_size(flags); f++) {
            const char *flag = json_string_value(json_array_get(flags, f));
            if (flag && strcmp(flag, "in-use") == 0)
                bitmap->in_use = true;
        }
    }
}

static int take_info(const char *path, const json_t *info, struct disk_image *image, struct error *err)
{
    json_int_t size = json_integer_value(json_object_get(info, "virtual-size"));
    const char *format = json_string_value(json_object_get(info, "format"));
    if (size < 0 || !format)
        return error_set(err, ERROR_DISK_READ_FAILED, "qemu-img says nothing useful about %s.", path);
    image->size = (uint64_t)size;
    image->format = memory_copy_text(format);
    json_int_t allocated = json_integer_value(json_object_get(info, "actual-size"));
    image->allocated = allocated > 0 ? (uint64_t)allocated : 0;
    image->backing_file = memory_copy_text(json_string_value(json_object_get(info, "backing-filename")));
    const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
    take_bitmaps(json_object_get(data, "bitmaps"), image);
    return 0;
}

int disk_image_inspect(const char *path, const char *format, struct disk_image *image, struct error *err)
{
    memset(image, 0, sizeof *image);
    if (strcmp(format, "raw") == 0)
        return inspect_raw(path, image, err);
    const char *argv[] = {"qemu-img", "info", "-U", "--output=json", "-f", format, "--", path, NULL};
    char *text = NULL;
    if (os_process_run(argv, INFO_LIMIT, &text, err) != 0)
        return error_wrap(err, ERROR_DISK_READ_FAILED, "The image %s could not be inspected.", path);
    json_error_t problem;
    json_t *info = json_loads(text, 0, &problem);
    free(text);
    if (!info)
        return error_set(err, ERROR_DISK_READ_FAILED, "qemu-img says nothing useful about %s: %s.", path,
                         problem.text);
    int result = take_info(path, info, image, err);
    json_decref(info);
    if (result != 0)
        disk_image_release(image);
    return result;
}

static bool has_bitmap(const json_t *info, const char *name)
{
    const json_t *data = json_object_get(json_object_get(info, "format-specific"), "data");
    const json_t *list = json_object_get(data, "bitmaps");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *other = json_string_value(json_object_get(json_array_get(list, i), "name"));
        if (other && strcmp(other, name) == 0)
            return true;
    }
    return false;
}

bool disk_image_bitmap_below(const char *path, const char *format, const char *name)
{
    const char *argv[] = {"qemu-img", "info", "--backing-chain", "-U", "--output=json", "-f", format, "--",
                          path,       NULL};
    char *text = NULL;
    struct error err;
    if (os_process_run(argv, INFO_LIMIT, &text, &err) != 0)
        return true;
    json_t *chain = json_loads(text, 0, NULL);
    free(text);
    bool found = !json_is_array(chain);
    for (size_t i = 1; i < json_array_size(chain); i++)
        found = found || has_bitmap(json_array_get(chain, i), name);
    json_decref(chain);
    return found;
}

enum { QCOW2_HEAD = 32 };

/* The first fields of a qcow2 image; QEMU's docs/interop/qcow2.txt. */
static int qcow2_head(const char *path, unsigned char head[QCOW2_HEAD], struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The disk %s could not be opened.", path);
    ssize_t got = pread(fd, head, QCOW2_HEAD, 0);
    close(fd);
    if (got != QCOW2_HEAD || memcmp(head, "QFI\xfb", 4) != 0)
        return error_set(err, ERROR_DISK_CHANGED, "%s is no qcow2 image any more.", path);
    return 0;
}

static uint64_t big_endian(const unsigned char *bytes, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value = value << 8 | bytes[i];
    return value;
}

static int qcow2_size(const char *path, uint64_t *size, struct error *err)
{
    unsigned char head[QCOW2_HEAD];
    if (qcow2_head(path, head, err) != 0)
        return -1;
    *size = big_endian(head + 24, 8);
    return 0;
}

bool disk_image_keeps_bitmaps(const char *path, const char *format)
{
    unsigned char head[QCOW2_HEAD];
    struct error err;
    return strcmp(format, "qcow2") == 0 && qcow2_head(path, head, &err) == 0 && big_endian(head + 4, 4) >= 3;
}

int disk_image_size(const char *path, const char *format, uint64_t *size, struct error *err)
{
    if (strcmp(format, "qcow2") == 0)
        return qcow2_size(path, size, err);
    struct disk_image image;
    if (disk_image_inspect(path, format, &image, err) != 0)
        return -1;
    *size = image.size;
    disk_image_release(&image);
    return 0;
}

/* A byte that whoever may write holds a lock on: QEMU's block/file-posix.c, RAW_LOCK_PERM_BASE and
 * BLK_PERM_WRITE. qemu-img is no help: of a raw image it allows for writers, and does not tell of them. */
enum { QEMU_WRITE_LOCK = 100 + 1 };

bool disk_image_in_use(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = QEMU_WRITE_LOCK, .l_len = 1};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool used = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return used;
}

int disk_image_add_bitmap(const char *path, const char *format, const char *name, struct error *err)
{
    const char *argv[] = {"qemu-img", "bitmap", "--add", "-f", format, "--", path, name, NULL};
    return os_process_run(argv, INFO_LIMIT, NULL, err) == 0
               ? 0
               : error_wrap(err, ERROR_TOOL_FAILED, "The image %s takes no record of changes.", path);
}

int disk_image_remove_bitmap(const char *path, const char *format, const char *name, struct error *err)
{
    const char *argv[] = {"qemu-img", "bitmap", "--remove", "-f", format, "--", path, name, NULL};
    if (os_process_run(argv, INFO_LIMIT, NULL, err) == 0 || strstr(err->cause, "not found"))
        return 0;
    return error_wrap(err, ERROR_TOOL_FAILED, "A record of changes in %s can't be deleted.", path);
}

void disk_image_release(struct disk_image *image)
{
    for (size_t i = 0; i < image->bitmap_count; i++)
        free(image->bitmaps[i].name);
    free(image->bitmaps);
    free(image->format);
    free(image->backing_file);
    memset(image, 0, sizeof *image);
}

const struct disk_image_bitmap *disk_image_bitmap(const struct disk_image *image, const char *name)
{
    for (size_t i = 0; i < image->bitmap_count; i++) {
        if (strcmp(image->bitmaps[i].name, name) == 0)
            return &image->bitmaps[i];
    }
    return NULL;
}
