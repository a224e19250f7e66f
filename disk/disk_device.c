#include "disk/disk_device.h"
#include "base/bytes.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { FAMILY_MAX = 4096, DEVICE_TEXT = 32 };

/* A device and everything that lies on it. */
struct family {
    const char *root; /* of the tree that has /proc and /sys; empty but in tests */
    dev_t *devices;
    size_t count;
    bool shared; /* a btrfs on it has other devices, too */
    const char *visited;
};

dev_t disk_device_number(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISBLK(info.st_mode) ? info.st_rdev : 0;
}

bool disk_device_is(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISBLK(info.st_mode);
}

char *disk_device_path(dev_t number)
{
    char *link = memory_format("/sys/dev/block/%u:%u", major(number), minor(number));
    char *real = realpath(link, NULL);
    char *path = real ? memory_format("/dev/%s", strrchr(real, '/') + 1) : NULL;
    for (char *c = path; c && *c; c++) {
        if (*c == '!') /* how /sys writes a slash */
            *c = '/';
    }
    free(real);
    free(link);
    if (path && disk_device_number(path) == number)
        return path;
    free(path);
    return NULL;
}

static bool has_device(const struct family *family, dev_t device)
{
    for (size_t i = 0; i < family->count; i++) {
        if (family->devices[i] == device)
            return true;
    }
    return false;
}

/* The number in a "dev" file of /sys; 0 when there is none. */
static dev_t read_number(const char *path)
{
    char text[DEVICE_TEXT] = "";
    unsigned high = 0;
    unsigned low = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    bool got = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    char *end = NULL;
    if (!got)
        return 0;
    high = (unsigned)strtoul(text, &end, 10);
    if (*end != ':')
        return 0;
    low = (unsigned)strtoul(end + 1, NULL, 10);
    return makedev(high, low);
}

static void add_device(struct family *family, dev_t device);

static int add_holder(void *cookie, const char *name)
{
    struct family *family = cookie;
    char *path = memory_format("%s/holders/%s/dev", family->visited, name);
    add_device(family, read_number(path));
    free(path);
    return 0;
}

static int add_partition(void *cookie, const char *name)
{
    struct family *family = cookie;
    char *mark = memory_format("%s/%s/partition", family->visited, name);
    char *path = memory_format("%s/%s/dev", family->visited, name);
    if (os_path_exists(mark))
        add_device(family, read_number(path));
    free(path);
    free(mark);
    return 0;
}

/* What /sys doesn't tell is not there: a device may go while it is looked at. */
static void visit(const char *path, int (*each)(void *cookie, const char *name), struct family *family)
{
    struct error ignored;
    if (os_path_exists(path))
        (void)os_path_list(path, each, family, &ignored);
}

static void add_device(struct family *family, dev_t device)
{
    if (device == 0 || family->count >= FAMILY_MAX || has_device(family, device))
        return;
    family->devices = memory_resize(family->devices, family->count + 1, sizeof *family->devices);
    family->devices[family->count++] = device;
    char *path = memory_format("%s/sys/dev/block/%u:%u", family->root, major(device), minor(device));
    char *holders = os_path_join(path, "holders");
    const char *outer = family->visited;
    family->visited = path;
    visit(path, add_partition, family);
    visit(holders, add_holder, family);
    family->visited = outer;
    free(holders);
    free(path);
}

/* --- btrfs: mounted from any of its devices, under a number that is none of theirs */

struct members {
    const char *directory;
    dev_t *devices;
    size_t count;
};

static int take_member(void *cookie, const char *name)
{
    struct members *members = cookie;
    char *path = memory_format("%s/%s/dev", members->directory, name);
    members->devices = memory_resize(members->devices, members->count + 1, sizeof *members->devices);
    members->devices[members->count++] = read_number(path);
    free(path);
    return members->count < FAMILY_MAX ? 0 : 1;
}

static int add_btrfs(void *cookie, const char *name)
{
    struct family *family = cookie;
    struct error ignored;
    char *directory = memory_format("%s/sys/fs/btrfs/%s/devices", family->root, name);
    struct members members = {.directory = directory};
    bool ours = false;
    if (os_path_exists(directory))
        (void)os_path_list(directory, take_member, &members, &ignored);
    for (size_t i = 0; i < members.count; i++)
        ours = ours || has_device(family, members.devices[i]);
    if (ours && members.count > 1)
        family->shared = true;
    for (size_t i = 0; ours && i < members.count; i++)
        add_device(family, members.devices[i]);
    free(members.devices);
    free(directory);
    return 0;
}

/* --- mounts */

struct mount_line {
    dev_t device;
    char *point;
    char *source;
    bool writable;
};

/* 36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/source rw,errors=continue */
static bool parse_line(char *text, struct mount_line *line)
{
    enum { NUMBER = 2, POINT = 4, FIXED = 6 };
    char *rest = NULL;
    char *fields[FIXED];
    for (size_t i = 0; i < FIXED; i++) {
        fields[i] = strtok_r(i ? NULL : text, " \n", &rest);
        if (!fields[i])
            return false;
    }
    char *field = strtok_r(NULL, " \n", &rest);
    while (field && strcmp(field, "-") != 0)
        field = strtok_r(NULL, " \n", &rest);
    char *type = field ? strtok_r(NULL, " \n", &rest) : NULL;
    line->source = type ? strtok_r(NULL, " \n", &rest) : NULL;
    char *options = line->source ? strtok_r(NULL, " \n", &rest) : NULL;
    char *end = NULL;
    unsigned long high = strtoul(fields[NUMBER], &end, 10);
    if (!options || *end != ':')
        return false;
    line->device = makedev((unsigned)high, (unsigned)strtoul(end + 1, NULL, 10));
    line->point = fields[POINT];
    line->writable = strcmp(options, "ro") != 0 && strncmp(options, "ro,", 3) != 0;
    bytes_unescape_octal(line->point);
    bytes_unescape_octal(line->source);
    return true;
}

static void take_mount(const struct family *family, struct mount_line *line, struct disk_device_use *use)
{
    if (major(line->device) == 0 && line->source[0] == '/') /* btrfs, and nothing else with devices */
        line->device = disk_device_number(line->source);
    if (line->device == 0 || !has_device(family, line->device))
        return;
    use->mounts = memory_resize(use->mounts, use->count + 1, sizeof *use->mounts);
    use->mounts[use->count++] =
        (struct disk_mount){.point = memory_copy_text(line->point),
                            .writable = line->writable,
                            .direct = line->device == family->devices[0] && !family->shared};
}

int disk_device_mounts(const char *root, dev_t device, struct disk_device_use *use, struct error *err)
{
    memset(use, 0, sizeof *use);
    struct family family = {.root = root};
    add_device(&family, device);
    char *path = memory_format("%s/proc/self/mountinfo", root);
    char *btrfs = memory_format("%s/sys/fs/btrfs", root);
    visit(btrfs, add_btrfs, &family);
    FILE *file = fopen(path, "re");
    int result =
        file ? 0 : error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "%s could not be opened.", path);
    char *text = NULL;
    size_t room = 0;
    struct mount_line line;
    while (file && getline(&text, &room, file) >= 0) {
        if (parse_line(text, &line))
            take_mount(&family, &line, use);
    }
    if (file)
        fclose(file);
    free(text);
    free(btrfs);
    free(path);
    free(family.devices);
    return result;
}

int disk_device_use(const char *path, struct disk_device_use *use, struct error *err)
{
    dev_t device = disk_device_number(path);
    memset(use, 0, sizeof *use);
    if (device == 0)
        return error_set(err, ERROR_DISK_READ_FAILED, "%s is not a block device.", path);
    if (disk_device_mounts("", device, use, err) != 0)
        return -1;
    int fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
    use->held = fd < 0 && errno == EBUSY;
    if (fd >= 0)
        close(fd);
    return 0;
}

void disk_device_use_release(struct disk_device_use *use)
{
    for (size_t i = 0; i < use->count; i++)
        free(use->mounts[i].point);
    free(use->mounts);
    memset(use, 0, sizeof *use);
}

const struct disk_mount *disk_device_writer(const struct disk_device_use *use)
{
    for (size_t i = 0; i < use->count; i++) {
        if (use->mounts[i].writable)
            return &use->mounts[i];
    }
    return NULL;
}

static void flush_mount(const struct disk_mount *mount)
{
    int fd = open(mount->point, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)syncfs(fd); /* what fails here fails for its writer, too */
    close(fd);
}

void disk_device_flush(const char *path, const struct disk_device_use *use)
{
    for (size_t i = 0; i < use->count; i++) {
        if (use->mounts[i].writable)
            flush_mount(&use->mounts[i]);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* who reads it says why */
    if (ioctl(fd, BLKFLSBUF, 0) != 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}
