#include "agent/files/file_walk.h"
#include "agent/files/file_attributes.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    ATTRIBUTES_MAX = 2 * 1024 * 1024,
    LINK_PATHS_MAX = 64 * 1024 * 1024, /* bytes; past that the links of a file are files of their own */
};

/* A file of which more links may come. */
struct linked {
    dev_t device;
    ino_t inode;
    nlink_t left;
    char path[];
};

struct walk {
    const struct file_walk_options *options;
    struct file_layout *layout;
    struct file_troubles *troubles;
    const struct file_root *root;
    uint32_t root_number;
    dev_t device;       /* of the root */
    struct buffer path; /* of the directory or entry, as in the archive */
    struct buffer attributes;
    void *links; /* a tree of struct linked; tsearch(3) */
    size_t link_bytes;
};

/* Names of one directory. */
struct names {
    char **list;
    size_t count;
    size_t capacity;
};

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
}

static void names_add(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        names->capacity = names->capacity ? 2 * names->capacity : 64;
        names->list = memory_resize(names->list, names->capacity, sizeof *names->list);
    }
    names->list[names->count++] = memory_copy_text(name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* --- opening */

static int open_how(int root, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOATIME),
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve};
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd < 0 && errno == EPERM) { /* another's file: its access time changes */
        how.flags &= ~(uint64_t)O_NOATIME;
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    }
    return (int)fd;
}

int file_open_beneath(int root, const char *path, int flags)
{
    return open_how(root, path[0] ? path : ".", flags, 0);
}

const char *file_path_beneath(const struct file_root *root, const char *path)
{
    size_t length = strlen(root->path);
    if (strcmp(path, root->path) == 0 || (length == 0 && strcmp(path, ".") == 0))
        return "";
    return length == 0 ? path : path + length + 1;
}

/* File systems that hold no files of anybody. */
static bool is_made_up(int fd)
{
    static const unsigned long kinds[] = {
        PROC_SUPER_MAGIC,
        SYSFS_MAGIC,
        DEVPTS_SUPER_MAGIC,
        CGROUP_SUPER_MAGIC,
        CGROUP2_SUPER_MAGIC,
        DEBUGFS_MAGIC,
        TRACEFS_MAGIC,
        SECURITYFS_MAGIC,
        BPF_FS_MAGIC,
        PSTOREFS_MAGIC,
        EFIVARFS_MAGIC,
        BINFMTFS_MAGIC,
        AUTOFS_SUPER_MAGIC,
        NSFS_MAGIC,
        0x62656570 /* configfs */,
        0x19800202 /* mqueue */,
        0x65735543 /* fusectl */,
    };
    struct statfs info;
    if (fstatfs(fd, &info) != 0)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if ((unsigned long)info.f_type == kinds[i])
            return true;
    }
    return false;
}

/* --- what is left out */

/* Snapshots, and archives that are being restored. */
static const char own_prefix[] = ".holdfast-";

/* The path with a slash in front, and its last name. */
static bool is_excluded(const struct walk *walk, const char *path, const char *name)
{
    char *whole = walk->options->exclude_count > 0 ? memory_format("/%s", path) : NULL;
    bool excluded = strncmp(name, own_prefix, sizeof own_prefix - 1) == 0;
    for (size_t i = 0; i < walk->options->exclude_count && !excluded; i++) {
        const char *pattern = walk->options->exclude[i];
        excluded = strchr(pattern, '/') ? fnmatch(pattern, whole, FNM_PATHNAME) == 0
                                        : fnmatch(pattern, name, 0) == 0;
    }
    free(whole);
    return excluded;
}

/* Append a name to the path; the former length is for path_cut. */
static size_t path_extend(struct walk *walk, const char *name)
{
    size_t length = walk->path.length;
    if (length > 0)
        buffer_append_text(&walk->path, "/");
    buffer_append_text(&walk->path, name);
    return length;
}

static void path_cut(struct walk *walk, size_t length)
{
    walk->path.length = length;
}

static const char *current_path(struct walk *walk)
{
    return walk->path.length > 0 ? buffer_text(&walk->path) : ".";
}

/* --- one entry */

static int compare_linked(const void *a, const void *b)
{
    const struct linked *left = a;
    const struct linked *right = b;
    if (left->device != right->device)
        return left->device < right->device ? -1 : 1;
    return left->inode < right->inode ? -1 : left->inode > right->inode;
}

/* The path of the first link to this file, NULL when this is the first. A copy. */
static char *find_first_link(struct walk *walk, const struct stat *info, const char *path)
{
    struct linked key = {.device = info->st_dev, .inode = info->st_ino};
    void *found = tfind(&key, &walk->links, compare_linked);
    size_t size = sizeof(struct linked) + strlen(path) + 1;
    if (found) {
        struct linked *linked = *(struct linked **)found;
        char *first = memory_copy_text(linked->path);
        if (--linked->left == 0) {
            tdelete(linked, &walk->links, compare_linked);
            walk->link_bytes -= sizeof *linked + strlen(first) + 1;
            free(linked);
        }
        return first;
    }
    if (walk->link_bytes + size > LINK_PATHS_MAX)
        return NULL;
    struct linked *linked = memory_alloc(size);
    *linked = (struct linked){.device = info->st_dev, .inode = info->st_ino, .left = info->st_nlink - 1};
    memcpy(linked->path, path, strlen(path) + 1);
    walk->link_bytes += size;
    if (!tsearch(linked, &walk->links, compare_linked))
        abort();
    return NULL;
}

static enum tar_type type_of(const struct stat *info)
{
    return S_ISDIR(info->st_mode)    ? TAR_DIRECTORY
           : S_ISLNK(info->st_mode)  ? TAR_SYMBOLIC_LINK
           : S_ISCHR(info->st_mode)  ? TAR_CHARACTER_DEVICE
           : S_ISBLK(info->st_mode)  ? TAR_BLOCK_DEVICE
           : S_ISFIFO(info->st_mode) ? TAR_FIFO
                                     : TAR_FILE;
}

static int add_entry(struct walk *walk, const struct stat *info, const char *link, struct error *err)
{
    struct file_entry entry = {
        .tar = {.type = type_of(info),
                .path = current_path(walk),
                .link = link,
                .size = S_ISREG(info->st_mode) ? (uint64_t)info->st_size : 0,
                .mtime_s = info->st_mtim.tv_sec,
                .mtime_ns = (uint32_t)info->st_mtim.tv_nsec,
                .mode = info->st_mode & 07777,
                .uid = info->st_uid,
                .gid = info->st_gid,
                .attributes = walk->attributes.data,
                .attributes_length = walk->attributes.length},
        .root = walk->root_number,
        .inode = info->st_ino,
        .sparse = S_ISREG(info->st_mode) && info->st_blocks < info->st_size / 512,
    };
    if (S_ISCHR(info->st_mode) || S_ISBLK(info->st_mode)) {
        entry.tar.major = major(info->st_rdev);
        entry.tar.minor = minor(info->st_rdev);
    }
    char *first = NULL;
    if (!S_ISDIR(info->st_mode) && info->st_nlink > 1)
        first = find_first_link(walk, info, entry.tar.path);
    if (first) {
        entry.tar.type = TAR_HARD_LINK;
        entry.tar.link = first;
        entry.tar.size = 0;
        entry.sparse = false;
    }
    int result = file_layout_add(walk->layout, &entry, err);
    free(first);
    return result;
}

static void note_unreadable(struct walk *walk, int why)
{
    file_troubles_note(walk->troubles, FILE_TROUBLE_UNREADABLE, current_path(walk), why);
}

/* What is no directory. Reading its data later must be possible, as far as can be told now. */
static int look_at(struct walk *walk, int directory, const char *name, struct stat *info, char link[PATH_MAX])
{
    link[0] = '\0';
    buffer_clear(&walk->attributes);
    if (S_ISREG(info->st_mode)) {
        int fd = open_how(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
        int result = fd < 0 ? errno : 0;
        if (result == 0 && (fstat(fd, info) != 0 || !S_ISREG(info->st_mode)))
            result = ENOENT;
        if (result == 0)
            result = file_attributes_read(fd, NULL, &walk->attributes);
        if (fd >= 0)
            close(fd);
        return result;
    }
    if (S_ISLNK(info->st_mode)) {
        ssize_t length = readlinkat(directory, name, link, PATH_MAX - 1);
        if (length < 0)
            return errno;
        link[length] = '\0';
    }
    char *path = memory_format("/proc/self/fd/%d/%s", directory, name);
    int result = file_attributes_read(-1, path, &walk->attributes);
    free(path);
    return result;
}

static int add_file(struct walk *walk, int directory, const char *name, struct stat *info, struct error *err)
{
    char link[PATH_MAX];
    if (S_ISSOCK(info->st_mode))
        return 0; /* whoever listens makes it */
    int why = look_at(walk, directory, name, info, link);
    if (why == 0)
        return add_entry(walk, info, link, err);
    if (why != ENOENT) /* gone meanwhile is no trouble */
        note_unreadable(walk, why);
    return 0;
}

/* --- directories */

static int list_names(int fd, struct names *names)
{
    int copy = dup(fd);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        int why = errno;
        if (copy >= 0)
            close(copy);
        return why;
    }
    errno = 0;
    for (struct dirent *item; (item = readdir(stream)) != NULL;) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            names_add(names, item->d_name);
    }
    int why = errno;
    closedir(stream);
    if (names->count > 0)
        qsort(names->list, names->count, sizeof *names->list, compare_names);
    return why;
}

/* Files are added, directories only named. */
static int add_files(struct walk *walk, int directory, const struct names *names, struct names *directories,
                     struct error *err)
{
    for (size_t i = 0; i < names->count; i++) {
        struct stat info;
        const char *name = names->list[i];
        int result = 0;
        size_t length = path_extend(walk, name);
        if (walk->options->cancelled && atomic_load(walk->options->cancelled))
            return error_set(err, ERROR_JOB_CANCELLED, "The walk over the files was cancelled.");
        bool excluded = is_excluded(walk, current_path(walk), name);
        if (!excluded && fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno != ENOENT)
                note_unreadable(walk, errno);
        } else if (!excluded && S_ISDIR(info.st_mode))
            names_add(directories, name);
        else if (!excluded)
            result = add_file(walk, directory, name, &info, err);
        path_cut(walk, length);
        if (result != 0)
            return -1;
    }
    return 0;
}

static int walk_directory(struct walk *walk, struct error *err);

static int walk_directories(struct walk *walk, const struct names *directories, struct error *err)
{
    int result = 0;
    for (size_t i = 0; i < directories->count && result == 0; i++) {
        size_t length = path_extend(walk, directories->list[i]);
        result = walk_directory(walk, err);
        path_cut(walk, length);
    }
    return result;
}

/* An open directory: itself, what is in it but directories, these. It is closed before those are walked. */
static int walk_open(struct walk *walk, int fd, const struct stat *info, bool inside, struct error *err)
{
    struct names names = {0};
    struct names directories = {0};
    buffer_clear(&walk->attributes);
    int why = file_attributes_read(fd, NULL, &walk->attributes);
    if (why == 0 && inside)
        why = list_names(fd, &names);
    if (why != 0)
        note_unreadable(walk, why);
    int result = add_entry(walk, info, "", err);
    if (result == 0)
        result = add_files(walk, fd, &names, &directories, err);
    names_free(&names);
    close(fd);
    if (result == 0)
        result = walk_directories(walk, &directories, err);
    names_free(&directories);
    return result;
}

/* The directory at the path. What is mounted on it, or is another subvolume, is left out unless wanted. */
static int walk_directory(struct walk *walk, struct error *err)
{
    struct stat info;
    const char *path = file_path_beneath(walk->root, current_path(walk));
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    bool all = walk->options->all_file_systems;
    int fd = open_how(walk->root->fd, path[0] ? path : ".", flags, all ? 0 : RESOLVE_NO_XDEV);
    bool crosses = fd < 0 && errno == EXDEV;
    if (crosses)
        fd = open_how(walk->root->fd, path, flags, 0);
    if (fd < 0 || fstat(fd, &info) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            note_unreadable(walk, errno);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    bool inside =
        all ? info.st_dev == walk->device || !is_made_up(fd) : !crosses && info.st_dev == walk->device;
    return walk_open(walk, fd, &info, inside, err);
}

/* --- the whole */

static int walk_root(struct walk *walk, struct error *err)
{
    const struct file_root *root = walk->root;
    struct stat info;
    buffer_clear(&walk->path);
    buffer_append_text(&walk->path, root->path);
    if (fstat(root->fd, &info) != 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "/%s can't be read.", root->path);
    walk->device = info.st_dev;
    if (!root->name)
        return walk_directory(walk, err);
    path_extend(walk, root->name);
    if (fstatat(root->fd, root->name, &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(info.st_mode))
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "/%s can't be read.", current_path(walk));
    return add_file(walk, root->fd, root->name, &info, err);
}

int file_walk(const struct file_walk_options *options, struct file_layout *layout,
              struct file_troubles *troubles, struct error *err)
{
    struct walk walk = {.options = options, .layout = layout, .troubles = troubles};
    int result = 0;
    buffer_init(&walk.path, 1024 * 1024);
    buffer_init(&walk.attributes, ATTRIBUTES_MAX);
    for (size_t i = 0; i < options->root_count && result == 0; i++) {
        walk.root = &options->roots[i];
        walk.root_number = (uint32_t)i;
        result = walk_root(&walk, err);
    }
    tdestroy(walk.links, free);
    buffer_free(&walk.path);
    buffer_free(&walk.attributes);
    return result;
}
