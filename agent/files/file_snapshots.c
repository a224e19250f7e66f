#include "agent/files/file_snapshots.h"
#include "agent/providers/files_internal.h"
#include "agent/providers/job_journal.h"
#include "base/log.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char name_prefix[] = ".holdfast-";

struct subvolume {
    dev_t device;
    char *path;   /* of its root, now */
    int snapshot; /* the root of its snapshot */
};

struct file_snapshots {
    struct snapshot_journal *journal;
    struct subvolume *subvolumes;
    size_t count;
};

static int remove_snapshot(const json_t *snapshot, struct error *err)
{
    const char *directory = job_journal_text(snapshot, "directory");
    const char *name = job_journal_text(snapshot, "name");
    struct btrfs_ioctl_vol_args arguments = {0};
    if (strncmp(name, name_prefix, sizeof name_prefix - 1) != 0 || strchr(name, '/') ||
        strlen(name) >= sizeof arguments.name)
        return 0; /* none of ours */
    memcpy(arguments.name, name, strlen(name) + 1);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : ioctl(fd, BTRFS_IOC_SNAP_DESTROY, &arguments);
    if (result != 0 && errno != ENOENT)
        result = error_set_errno(err, ERROR_SNAPSHOT_FAILED, errno,
                                 "The snapshot %s/%s could not be removed.", directory, name);
    else
        result = 0;
    if (fd >= 0)
        close(fd);
    return result;
}

const struct snapshot_maker file_snapshot_maker = {.kind = files_kind, .remove = remove_snapshot};

struct file_snapshots *file_snapshots_create(const char *data_directory, const char *job, const char *vm_uuid)
{
    struct file_snapshots *snapshots = memory_zalloc(sizeof *snapshots);
    snapshots->journal = snapshot_journal_create(&file_snapshot_maker, data_directory, job, vm_uuid);
    return snapshots;
}

/* The root of the subvolume that a directory is in; -1 when the file system has none, or it is not reached.
 */
static int open_subvolume(int directory, dev_t *device)
{
    struct statfs system;
    struct stat info;
    if (fstatfs(directory, &system) != 0 || system.f_type != BTRFS_SUPER_MAGIC ||
        fstat(directory, &info) != 0)
        return -1;
    int at = dup(directory);
    *device = info.st_dev;
    while (at >= 0 && info.st_dev == *device && info.st_ino != BTRFS_FIRST_FREE_OBJECTID) {
        int above = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(at);
        at = above;
        if (at >= 0 && fstat(at, &info) != 0)
            info.st_dev = 0;
    }
    if (at >= 0 && info.st_dev != *device) {
        close(at);
        at = -1;
    }
    return at;
}

/* Where an open directory is now; false when it is nowhere. */
static bool path_of(int fd, char out[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    out[length > 0 ? length : 0] = '\0';
    return length > 0 && out[0] == '/';
}

static int make_snapshot(int root, const char *name)
{
    struct btrfs_ioctl_vol_args_v2 arguments = {.fd = root, .flags = BTRFS_SUBVOL_RDONLY};
    snprintf(arguments.name, sizeof arguments.name, "%s", name);
    return ioctl(root, BTRFS_IOC_SNAP_CREATE_V2, &arguments) == 0
               ? openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
               : -1;
}

/* A snapshot of the subvolume with that root. 1, 0 or -1 as file_snapshots_view. */
static int add_snapshot(struct file_snapshots *snapshots, int root, const char *path, dev_t device,
                        struct error *err)
{
    char *name = snapshot_journal_name(snapshots->journal, name_prefix);
    json_t *place = json_pack("{s:s, s:s}", "directory", path, "name", name);
    if (!place) { /* what can't be noted could not be removed after a crash */
        log_event(LOG_WARNING, "no snapshot of a subvolume", "path=\"%s\" reason=\"it is not UTF-8\"", path);
        free(name);
        return 0;
    }
    int result = snapshot_journal_add(snapshots->journal, place, err);
    int fd = result == 0 ? make_snapshot(root, name) : -1;
    if (result == 0 && fd < 0)
        log_event(LOG_WARNING, "no snapshot of a subvolume", "path=\"%s\" reason=\"%s\"", path,
                  strerror(errno));
    if (fd >= 0) {
        snapshots->subvolumes =
            memory_resize(snapshots->subvolumes, snapshots->count + 1, sizeof *snapshots->subvolumes);
        snapshots->subvolumes[snapshots->count++] =
            (struct subvolume){.device = device, .path = memory_copy_text(path), .snapshot = fd};
    }
    free(name);
    return result != 0 ? -1 : fd >= 0;
}

static const struct subvolume *find_subvolume(const struct file_snapshots *snapshots, dev_t device)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        if (snapshots->subvolumes[i].device == device)
            return &snapshots->subvolumes[i];
    }
    return NULL;
}

/* The directory in the snapshot of its subvolume. */
static int exchange(const struct subvolume *subvolume, const char *path, int *directory)
{
    size_t length = strlen(subvolume->path);
    const char *rest = path + (strcmp(subvolume->path, "/") == 0 ? 0 : length);
    if (strncmp(path, subvolume->path, length) != 0)
        return 0;
    while (*rest == '/')
        rest++;
    int fd = openat(subvolume->snapshot, *rest ? rest : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0;
    close(*directory);
    *directory = fd;
    return 1;
}

int file_snapshots_view(struct file_snapshots *snapshots, int *directory, struct error *err)
{
    char path[PATH_MAX];
    char root_path[PATH_MAX];
    dev_t device;
    int root = open_subvolume(*directory, &device);
    if (root < 0)
        return 0;
    int result = 0;
    if (path_of(*directory, path) && path_of(root, root_path)) {
        result =
            find_subvolume(snapshots, device) ? 1 : add_snapshot(snapshots, root, root_path, device, err);
        if (result > 0)
            result = exchange(find_subvolume(snapshots, device), path, directory);
    }
    close(root);
    return result;
}

int file_snapshots_end(struct file_snapshots *snapshots, struct error *err)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        close(snapshots->subvolumes[i].snapshot);
        free(snapshots->subvolumes[i].path);
    }
    int result = snapshot_journal_end(snapshots->journal, err);
    free(snapshots->subvolumes);
    free(snapshots);
    return result;
}
