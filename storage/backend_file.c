/* The file backend: a directory of files. */
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/backend.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HANDLES = 32 };

/* An open file for reading, shared by all who read it. */
struct handle {
    char *name;
    struct file *file;
    unsigned users; /* reads in progress, and one for its place in the table */
};

struct backend_file {
    struct backend base;
    char *directory;
    const struct file_system *fs;
    pthread_mutex_t lock; /* guards what follows */
    struct handle *handles[HANDLES];
    unsigned next;
};

struct backend_append {
    struct backend_file *owner;
    struct file *file;
    char *path;
    bool name_durable;
};

static struct backend_file *file_backend(struct backend *backend)
{
    return (struct backend_file *)backend;
}

/* Say what it means for the store; the file's own words become the cause. */
static int backend_fail(const struct backend_file *self, struct error *err)
{
    bool full = os_file_error_is_full(err);
    return error_wrap(err, full ? ERROR_STORE_FULL : ERROR_STORE_UNAVAILABLE,
                      full ? "Store %s has no room" : "Store %s can't be used", self->directory);
}

static const char container_folder[] = "containers/";

/* The file of an object, malloc'd. */
static char *object_path(const struct backend_file *self, const char *name)
{
    enum { SHARD_AND_SUFFIX = 6 }; /* "2a.hfc" */
    size_t folder = sizeof container_folder - 1;
    size_t length = strlen(name);
    if (strncmp(name, container_folder, folder) == 0 && length >= folder + SHARD_AND_SUFFIX) {
        return memory_format("%s/%s%.2s/%s", self->directory, container_folder,
                             name + length - SHARD_AND_SUFFIX, name + folder);
    }
    return memory_format("%s/%s", self->directory, name);
}

static char *parent_of(const char *path)
{
    return memory_format("%.*s", (int)(strrchr(path, '/') - path), path);
}

/* Sync a path's directory and those above it down from the store's own: any of them may be new. */
static int sync_parents(const struct backend_file *self, const char *path, struct error *err)
{
    char *parent = parent_of(path);
    int result = self->fs->sync_directory(self->fs->cookie, parent, err);
    if (result == 0 && strlen(parent) > strlen(self->directory)) {
        result = sync_parents(self, parent, err);
    }
    free(parent);
    return result;
}

static struct file *create_file(const struct backend_file *self, const char *path, struct error *err)
{
    char *parent = parent_of(path);
    int made = self->fs->make_directory(self->fs->cookie, parent, err);
    free(parent);
    return made == 0 ? self->fs->open(self->fs->cookie, path, true, err) : NULL;
}

/* --- open files for reading */

static void handle_release(struct backend_file *self, struct handle *handle)
{
    pthread_mutex_lock(&self->lock);
    bool last = --handle->users == 0;
    pthread_mutex_unlock(&self->lock);
    if (last) {
        self->fs->close(handle->file);
        free(handle->name);
        free(handle);
    }
}

static struct handle *handle_find(struct backend_file *self, const char *name)
{
    struct handle *found = NULL;
    pthread_mutex_lock(&self->lock);
    for (unsigned i = 0; i < HANDLES && found == NULL; i++) {
        if (self->handles[i] != NULL && strcmp(self->handles[i]->name, name) == 0) {
            found = self->handles[i];
            found->users++;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

/* Keep an open file for the next reader; the oldest is given up. */
static struct handle *handle_keep(struct backend_file *self, const char *name, struct file *file)
{
    struct handle *handle = memory_zalloc(sizeof *handle);
    *handle = (struct handle){.name = memory_copy_text(name), .file = file, .users = 2};
    pthread_mutex_lock(&self->lock);
    struct handle *old = self->handles[self->next];
    self->handles[self->next] = handle;
    self->next = (self->next + 1) % HANDLES;
    pthread_mutex_unlock(&self->lock);
    if (old != NULL) {
        handle_release(self, old);
    }
    return handle;
}

/* An object that is replaced or removed must not be read through a handle to what it was. */
static void handle_forget(struct backend_file *self, const char *name)
{
    struct handle *old[HANDLES];
    unsigned count = 0;
    pthread_mutex_lock(&self->lock);
    for (unsigned i = 0; i < HANDLES; i++) {
        if (self->handles[i] != NULL && (name == NULL || strcmp(self->handles[i]->name, name) == 0)) {
            old[count++] = self->handles[i];
            self->handles[i] = NULL;
        }
    }
    pthread_mutex_unlock(&self->lock);
    for (unsigned i = 0; i < count; i++) {
        handle_release(self, old[i]);
    }
}

/* 1 and *handle, 0 no such object, -1 error. */
static int handle_open(struct backend_file *self, const char *name, struct handle **handle, struct error *err)
{
    *handle = handle_find(self, name);
    if (*handle != NULL) {
        return 1;
    }
    char *path = object_path(self, name);
    struct file *file = self->fs->open(self->fs->cookie, path, false, err);
    bool missing = file == NULL && !self->fs->exists(self->fs->cookie, path);
    free(path);
    if (file == NULL) {
        return missing ? 0 : backend_fail(self, err);
    }
    *handle = handle_keep(self, name, file);
    return 1;
}

/* --- the operations */

static void file_destroy(struct backend *backend)
{
    struct backend_file *self = file_backend(backend);
    handle_forget(self, NULL);
    pthread_mutex_destroy(&self->lock);
    free(self->directory);
    free(self);
}

static int put_temporary(struct backend_file *self, const char *temporary, const char *path,
                         const void *bytes, size_t length, struct error *err)
{
    /* One that a crash left behind is simply made anew. */
    if (self->fs->remove(self->fs->cookie, temporary, err) != 0) {
        return -1;
    }
    struct file *file = create_file(self, temporary, err);
    if (file == NULL) {
        return -1;
    }
    int result = self->fs->write(file, 0, bytes, length, err);
    if (result == 0) {
        result = self->fs->sync(file, err);
    }
    self->fs->close(file);
    if (result == 0) {
        result = self->fs->rename(self->fs->cookie, temporary, path, err);
    }
    return result == 0 ? sync_parents(self, path, err) : -1;
}

static int file_put(struct backend *backend, const char *name, const void *bytes, size_t length,
                    struct error *err)
{
    struct backend_file *self = file_backend(backend);
    char *path = object_path(self, name);
    char *temporary = memory_format("%s.tmp", path);
    int result = put_temporary(self, temporary, path, bytes, length, err);
    if (result != 0) {
        struct error ignored;
        backend_fail(self, err);
        self->fs->remove(self->fs->cookie, temporary, &ignored);
    }
    handle_forget(self, name);
    free(temporary);
    free(path);
    return result;
}

static int file_get(struct backend *backend, const char *name, uint64_t offset, void *out, size_t length,
                    size_t *got, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    struct handle *handle;
    int found = handle_open(self, name, &handle, err);
    if (found == 1) {
        if (self->fs->read(handle->file, offset, out, length, got, err) != 0) {
            found = backend_fail(self, err);
        }
        handle_release(self, handle);
    }
    return found;
}

static int file_size(struct backend *backend, const char *name, uint64_t *size, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    char *path = object_path(self, name);
    int found = 0;
    if (self->fs->exists(self->fs->cookie, path)) {
        struct file *file = self->fs->open(self->fs->cookie, path, false, err);
        found = file != NULL && self->fs->size(file, size, err) == 0 ? 1 : backend_fail(self, err);
        if (file != NULL) {
            self->fs->close(file);
        }
    }
    free(path);
    return found;
}

struct listing {
    struct backend_file *self;
    char *path;   /* of the directory that is read */
    char *prefix; /* what its objects' names begin with, below the folder */
    bool containers;
    int (*visit)(void *cookie, const char *name);
    void *cookie;
    struct error *err;
    bool failed;
};

static int list_directory(struct listing *listing);

static bool is_temporary(const char *name)
{
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".tmp") == 0;
}

/* Files have a suffix, directories none. The directories that containers are spread over are no part of
 * their names. */
static int list_entry(void *cookie, const char *name)
{
    struct listing *listing = cookie;
    int result = 0;
    if (strchr(name, '.') == NULL) {
        struct listing below = *listing;
        below.path = memory_format("%s/%s", listing->path, name);
        below.prefix =
            listing->containers ? memory_copy_text("") : memory_format("%s%s/", listing->prefix, name);
        result = list_directory(&below);
        listing->failed = below.failed;
        free(below.path);
        free(below.prefix);
    } else if (!is_temporary(name)) {
        char *object = memory_format("%s%s", listing->prefix, name);
        result = listing->visit(listing->cookie, object);
        free(object);
    }
    return result;
}

static int list_directory(struct listing *listing)
{
    const struct file_system *fs = listing->self->fs;
    struct error why = {.code = ERROR_NONE};
    int result = fs->list(fs->cookie, listing->path, list_entry, listing, &why);
    if (why.code != ERROR_NONE) {
        listing->failed = true;
        *listing->err = why;
    }
    return result;
}

static int file_list(struct backend *backend, const char *folder,
                     int (*visit)(void *cookie, const char *name), void *cookie, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    struct listing listing = {.self = self,
                              .path = memory_format("%s/%s", self->directory, folder),
                              .prefix = "",
                              .containers = strcmp(folder, "containers") == 0,
                              .visit = visit,
                              .cookie = cookie,
                              .err = err};
    int result = self->fs->exists(self->fs->cookie, listing.path) ? list_directory(&listing) : 0;
    free(listing.path);
    return listing.failed ? backend_fail(self, err) : result;
}

static int file_remove(struct backend *backend, const char *name, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    char *path = object_path(self, name);
    char *parent = parent_of(path);
    int result = 0;
    handle_forget(self, name);
    if (self->fs->exists(self->fs->cookie, parent) &&
        (self->fs->remove(self->fs->cookie, path, err) != 0 ||
         self->fs->sync_directory(self->fs->cookie, parent, err) != 0)) {
        result = backend_fail(self, err);
    }
    free(parent);
    free(path);
    return result;
}

static int file_settle(struct backend *backend, const char *name, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    char *path = object_path(self, name);
    struct file *file = self->fs->open(self->fs->cookie, path, false, err);
    int result = file != NULL && self->fs->sync(file, err) == 0 && sync_parents(self, path, err) == 0
                     ? 0
                     : backend_fail(self, err);
    if (result == 0) {
        self->fs->forget_cached(file);
    }
    if (file != NULL) {
        self->fs->close(file);
    }
    free(path);
    return result;
}

struct settling {
    const struct file_system *fs;
    const char *path;
    struct error *err;
};

static int settle_entry(void *cookie, const char *name);

static int settle_directory(const struct file_system *fs, const char *path, struct error *err)
{
    struct settling settling = {.fs = fs, .path = path, .err = err};
    int result = fs->list(fs->cookie, path, settle_entry, &settling, err);
    return result == 0 ? fs->sync_directory(fs->cookie, path, err) : -1;
}

static int settle_entry(void *cookie, const char *name)
{
    const struct settling *settling = cookie;
    if (strchr(name, '.') != NULL) {
        return 0; /* a file, see list_entry */
    }
    char *path = memory_format("%s/%s", settling->path, name);
    int result = settle_directory(settling->fs, path, settling->err);
    free(path);
    return result;
}

static int file_settle_folder(struct backend *backend, const char *folder, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    char *path = memory_format("%s/%s", self->directory, folder);
    int result = 0;
    if (self->fs->exists(self->fs->cookie, path) && settle_directory(self->fs, path, err) != 0) {
        result = backend_fail(self, err);
    }
    free(path);
    return result;
}

static struct backend_append *file_append_open(struct backend *backend, const char *name, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    char *path = object_path(self, name);
    struct file *file = create_file(self, path, err);
    if (file == NULL) {
        backend_fail(self, err);
        free(path);
        return NULL;
    }
    struct backend_append *append = memory_zalloc(sizeof *append);
    *append = (struct backend_append){.owner = self, .file = file, .path = path};
    return append;
}

static int file_append_write(struct backend_append *append, uint64_t offset, const void *bytes, size_t length,
                             struct error *err)
{
    return append->owner->fs->write(append->file, offset, bytes, length, err) == 0
               ? 0
               : backend_fail(append->owner, err);
}

static int file_append_sync(struct backend_append *append, struct error *err)
{
    const struct backend_file *self = append->owner;
    if (self->fs->sync(append->file, err) != 0 ||
        (!append->name_durable && sync_parents(self, append->path, err) != 0)) {
        return backend_fail(self, err);
    }
    append->name_durable = true;
    return 0;
}

static void file_append_close(struct backend_append *append)
{
    if (append != NULL) {
        append->owner->fs->close(append->file);
        free(append->path);
        free(append);
    }
}

static int file_space(struct backend *backend, uint64_t *free_bytes, uint64_t *total_bytes, struct error *err)
{
    struct backend_file *self = file_backend(backend);
    return self->fs->space(self->fs->cookie, self->directory, free_bytes, total_bytes, err) == 0
               ? 0
               : backend_fail(self, err);
}

static const struct backend_operations file_operations = {
    .destroy = file_destroy,
    .put = file_put,
    .get = file_get,
    .size = file_size,
    .list = file_list,
    .remove = file_remove,
    .settle = file_settle,
    .settle_folder = file_settle_folder,
    .append_open = file_append_open,
    .append_write = file_append_write,
    .append_sync = file_append_sync,
    .append_close = file_append_close,
    .space = file_space,
};

struct backend *backend_file_create(const char *directory, const struct file_system *fs)
{
    struct backend_file *self = memory_zalloc(sizeof *self);
    self->base.operations = &file_operations;
    self->directory = memory_copy_text(directory);
    self->fs = fs;
    pthread_mutex_init(&self->lock, NULL);
    return &self->base;
}

int backend_get_whole(struct backend *backend, const char *name, size_t limit, uint8_t **bytes,
                      size_t *length, struct error *err)
{
    uint64_t size;
    int found = backend->operations->size(backend, name, &size, err);
    if (found != 1) {
        return found;
    }
    if (size > limit) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "%s is longer than %zu bytes", name, limit);
    }
    uint8_t *content = memory_alloc((size_t)size + 1);
    found = backend->operations->get(backend, name, 0, content, (size_t)size, length, err);
    if (found != 1) {
        free(content);
        return found;
    }
    content[*length] = '\0';
    *bytes = content;
    return 1;
}
