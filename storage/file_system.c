#include "storage/file_system.h"

#include "base/os_file.h"

/* A struct file is an os_file here. */
static struct os_file *real(struct file *file)
{
    return (struct os_file *)file;
}

static struct file *real_open(void *cookie, const char *path, bool create, struct error *err)
{
    (void)cookie;
    return (struct file *)os_file_open(path, create ? OS_FILE_CREATE_NEW : OS_FILE_READ, err);
}

static void real_close(struct file *file)
{
    os_file_close(real(file));
}

static int real_read(struct file *file, uint64_t offset, void *out, size_t length, size_t *got,
                     struct error *err)
{
    return os_file_read_some(real(file), offset, out, length, got, err);
}

static int real_write(struct file *file, uint64_t offset, const void *bytes, size_t length, struct error *err)
{
    return os_file_write_at(real(file), offset, bytes, length, err);
}

static int real_sync(struct file *file, struct error *err)
{
    return os_file_sync(real(file), err);
}

static void real_forget_cached(struct file *file)
{
    os_file_forget_cached(real(file));
}

static int real_size(struct file *file, uint64_t *size, struct error *err)
{
    return os_file_size(real(file), size, err);
}

static int real_rename(void *cookie, const char *from, const char *to, struct error *err)
{
    (void)cookie;
    return os_path_rename(from, to, err);
}

static int real_remove(void *cookie, const char *path, struct error *err)
{
    (void)cookie;
    return os_path_remove(path, err);
}

static int real_make_directory(void *cookie, const char *path, struct error *err)
{
    (void)cookie;
    return os_path_make_directory(path, 0700, err);
}

static int real_sync_directory(void *cookie, const char *path, struct error *err)
{
    (void)cookie;
    return os_path_sync_directory(path, err);
}

static bool real_exists(void *cookie, const char *path)
{
    (void)cookie;
    return !os_path_is_missing(path);
}

static int real_list(void *cookie, const char *path, int (*visit)(void *visit_cookie, const char *name),
                     void *visit_cookie, struct error *err)
{
    (void)cookie;
    return os_path_list(path, visit, visit_cookie, err);
}

static int real_space(void *cookie, const char *path, uint64_t *free_bytes, uint64_t *total_bytes,
                      struct error *err)
{
    (void)cookie;
    return os_path_space(path, free_bytes, total_bytes, err);
}

const struct file_system file_system_real = {
    .open = real_open,
    .close = real_close,
    .read = real_read,
    .write = real_write,
    .sync = real_sync,
    .forget_cached = real_forget_cached,
    .size = real_size,
    .rename = real_rename,
    .remove = real_remove,
    .make_directory = real_make_directory,
    .sync_directory = real_sync_directory,
    .exists = real_exists,
    .list = real_list,
    .space = real_space,
};
