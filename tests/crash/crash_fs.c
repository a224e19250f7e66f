#include "crash_fs.h"

#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, PARTS = 4 };

struct write_note { /* not synced yet */
    uint64_t offset;
    uint8_t *bytes;
    size_t length;
};

struct content {
    uint8_t *bytes;
    size_t size;
};

struct inode {
    bool directory;
    struct content now;
    struct content durable;
    struct write_note *notes;
    size_t note_count;
};

struct name {
    char *path;
    struct inode *inode; /* NULL: not there */
};

struct names {
    struct name *items;
    size_t count;
};

/* A change of a directory that was not synced. */
struct change {
    char *directory;
    char *path;
    struct inode *inode; /* NULL: removed */
};

struct crash_fs {
    struct file_system table;
    struct inode **inodes; /* all that ever were */
    size_t inode_count;
    struct names now;
    struct names durable;
    struct change *changes; /* in their order */
    size_t change_count;
    unsigned operations;
    unsigned stop_at;
    unsigned fail_at;
    int fail_errno;
    bool fail_short;
    bool loses_pages;
    const char *failed; /* what the operation at fail_at was */
};

struct file {
    struct crash_fs *fs;
    struct inode *inode;
};

/* --- names */

static struct name *names_find(struct names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i].path, path) == 0) {
            return &names->items[i];
        }
    }
    return NULL;
}

static struct inode *names_get(struct names *names, const char *path)
{
    struct name *name = names_find(names, path);
    return name != NULL ? name->inode : NULL;
}

static void names_set(struct names *names, const char *path, struct inode *inode)
{
    struct name *name = names_find(names, path);
    if (name == NULL) {
        names->items = memory_resize(names->items, names->count + 1, sizeof *names->items);
        name = &names->items[names->count++];
        name->path = memory_copy_text(path);
    }
    name->inode = inode;
}

static void names_clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i].path);
    }
    free(names->items);
    *names = (struct names){0};
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return memory_format("%.*s", slash != NULL ? (int)(slash - path) : 0, path);
}

static void set_name(struct crash_fs *fs, const char *path, struct inode *inode)
{
    names_set(&fs->now, path, inode);
    fs->changes = memory_resize(fs->changes, fs->change_count + 1, sizeof *fs->changes);
    fs->changes[fs->change_count++] =
        (struct change){.directory = parent_of(path), .path = memory_copy_text(path), .inode = inode};
}

static struct inode *make_inode(struct crash_fs *fs, bool directory)
{
    struct inode *inode = memory_zalloc(sizeof *inode);
    inode->directory = directory;
    fs->inodes = memory_resize(fs->inodes, fs->inode_count + 1, sizeof *fs->inodes);
    fs->inodes[fs->inode_count++] = inode;
    return inode;
}

/* --- content */

static void content_write(struct content *content, uint64_t offset, const uint8_t *bytes, size_t length)
{
    if (offset + length > content->size) {
        content->bytes = memory_resize(content->bytes, offset + length, 1);
        memset(content->bytes + content->size, 0, offset + length - content->size);
        content->size = offset + length;
    }
    memcpy(content->bytes + offset, bytes, length);
}

static void content_copy(struct content *to, const struct content *from)
{
    free(to->bytes);
    to->bytes = from->size > 0 ? memory_copy(from->bytes, from->size) : NULL;
    to->size = from->size;
}

static void inode_forget_notes(struct inode *inode)
{
    for (size_t i = 0; i < inode->note_count; i++) {
        free(inode->notes[i].bytes);
    }
    free(inode->notes);
    inode->notes = NULL;
    inode->note_count = 0;
}

/* --- operations */

static int fail(struct error *err, int errnum, const char *what)
{
    return error_set_errno(err, ERROR_FILE_FAILED, errnum, "%s failed", what);
}

/* Counts an operation; -1 when it does not happen. */
static int enter(struct crash_fs *fs, const char *what, struct error *err)
{
    if (fs->stop_at != 0 && fs->operations + 1 >= fs->stop_at) {
        fs->operations = fs->stop_at;
        return fail(err, EIO, what);
    }
    fs->operations++;
    if (getenv("CRASH_TRACE") != NULL) {
        fprintf(stderr, "%u %s\n", fs->operations, what);
    }
    if (fs->operations != fs->fail_at) {
        return 0;
    }
    fs->failed = what;
    return fail(err, fs->fail_errno, what);
}

/* Reading does not count, but a machine that stopped does not read. */
static int enter_read(struct crash_fs *fs, struct error *err)
{
    return crash_fs_stopped(fs) ? fail(err, EIO, "read") : 0;
}

static struct file *fs_open(void *cookie, const char *path, bool create, struct error *err)
{
    struct crash_fs *fs = cookie;
    struct inode *inode = names_get(&fs->now, path);
    char *parent = parent_of(path);
    const struct inode *directory = names_get(&fs->now, parent);
    free(parent);
    if ((create ? enter(fs, "create", err) : enter_read(fs, err)) != 0) {
        return NULL;
    }
    if (create ? inode != NULL || directory == NULL : inode == NULL) {
        fail(err, create && inode != NULL ? EEXIST : ENOENT, path);
        return NULL;
    }
    if (create) {
        inode = make_inode(fs, false);
        set_name(fs, path, inode);
    }
    struct file *file = memory_zalloc(sizeof *file);
    *file = (struct file){.fs = fs, .inode = inode};
    return file;
}

static void fs_close(struct file *file)
{
    free(file);
}

static int fs_read(struct file *file, uint64_t offset, void *out, size_t length, size_t *got,
                   struct error *err)
{
    const struct content *content = &file->inode->now;
    if (enter_read(file->fs, err) != 0) {
        return -1;
    }
    size_t left = offset < content->size ? content->size - (size_t)offset : 0;
    *got = length < left ? length : left;
    if (*got > 0) {
        memcpy(out, content->bytes + offset, *got);
    }
    return 0;
}

static void write_now(struct inode *inode, uint64_t offset, const void *bytes, size_t length)
{
    content_write(&inode->now, offset, bytes, length);
    inode->notes = memory_resize(inode->notes, inode->note_count + 1, sizeof *inode->notes);
    inode->notes[inode->note_count++] =
        (struct write_note){.offset = offset, .bytes = memory_copy(bytes, length), .length = length};
}

static int fs_write(struct file *file, uint64_t offset, const void *bytes, size_t length, struct error *err)
{
    struct crash_fs *fs = file->fs;
    bool was_running = !crash_fs_stopped(fs);
    if (enter(fs, "write", err) != 0) {
        bool stopped_in_it = was_running && crash_fs_stopped(fs);
        if (stopped_in_it || (fs->operations == fs->fail_at && fs->fail_short)) {
            write_now(file->inode, offset, bytes, length / 2);
        }
        return -1;
    }
    write_now(file->inode, offset, bytes, length);
    return 0;
}

/* After a failed sync the kernel may call the pages clean: they are read as before, and no later sync writes
 * them. */
static int fs_sync(struct file *file, struct error *err)
{
    struct inode *inode = file->inode;
    const struct crash_fs *fs = file->fs;
    bool was_running = !crash_fs_stopped(fs);
    if (enter(file->fs, "sync", err) != 0) {
        if (fs->loses_pages && was_running && !crash_fs_stopped(fs)) {
            inode_forget_notes(inode);
        }
        return -1;
    }
    for (size_t i = 0; i < inode->note_count; i++) {
        const struct write_note *note = &inode->notes[i];
        content_write(&inode->durable, note->offset, note->bytes, note->length);
    }
    inode_forget_notes(inode);
    return 0;
}

static void fs_forget_cached(struct file *file)
{
    if (file->inode->note_count == 0) {
        content_copy(&file->inode->now, &file->inode->durable);
    }
}

static int fs_size(struct file *file, uint64_t *size, struct error *err)
{
    *size = file->inode->now.size;
    return enter_read(file->fs, err);
}

static int fs_rename(void *cookie, const char *from, const char *to, struct error *err)
{
    struct crash_fs *fs = cookie;
    struct inode *inode = names_get(&fs->now, from);
    if (enter(fs, "rename", err) != 0) {
        return -1;
    }
    if (inode == NULL) {
        return fail(err, ENOENT, from);
    }
    set_name(fs, to, inode);
    set_name(fs, from, NULL);
    return 0;
}

static int fs_remove(void *cookie, const char *path, struct error *err)
{
    struct crash_fs *fs = cookie;
    if (names_get(&fs->now, path) == NULL) {
        return enter_read(fs, err);
    }
    if (enter(fs, "remove", err) != 0) {
        return -1;
    }
    set_name(fs, path, NULL);
    return 0;
}

static int fs_make_directory(void *cookie, const char *path, struct error *err)
{
    struct crash_fs *fs = cookie;
    if (names_get(&fs->now, path) != NULL) {
        return enter_read(fs, err);
    }
    char *parent = parent_of(path);
    int result = *parent != '\0' ? fs_make_directory(cookie, parent, err) : 0;
    free(parent);
    if (result != 0 || enter(fs, "mkdir", err) != 0) {
        return -1;
    }
    set_name(fs, path, make_inode(fs, true));
    return 0;
}

static int fs_sync_directory(void *cookie, const char *path, struct error *err)
{
    struct crash_fs *fs = cookie;
    size_t kept = 0;
    if (enter(fs, "sync of a directory", err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < fs->change_count; i++) {
        struct change *change = &fs->changes[i];
        if (strcmp(change->directory, path) == 0) {
            names_set(&fs->durable, change->path, change->inode);
            free(change->directory);
            free(change->path);
        } else {
            fs->changes[kept++] = *change;
        }
    }
    fs->change_count = kept;
    return 0;
}

static bool fs_exists(void *cookie, const char *path)
{
    return names_get(&((struct crash_fs *)cookie)->now, path) != NULL;
}

static int fs_list(void *cookie, const char *path, int (*visit)(void *visit_cookie, const char *name),
                   void *visit_cookie, struct error *err)
{
    struct crash_fs *fs = cookie;
    size_t length = strlen(path);
    int result = enter_read(fs, err);
    for (size_t i = 0; i < fs->now.count && result == 0; i++) {
        const struct name *name = &fs->now.items[i];
        const char *rest = name->path + length + 1;
        if (name->inode != NULL && strncmp(name->path, path, length) == 0 && name->path[length] == '/' &&
            strchr(rest, '/') == NULL) {
            result = visit(visit_cookie, rest);
        }
    }
    return result;
}

static int fs_space(void *cookie, const char *path, uint64_t *free_bytes, uint64_t *total_bytes,
                    struct error *err)
{
    (void)path;
    if (free_bytes != NULL) {
        *free_bytes = (uint64_t)1 << 40;
    }
    if (total_bytes != NULL) {
        *total_bytes = (uint64_t)1 << 41;
    }
    return enter_read(cookie, err);
}

/* --- the whole */

struct crash_fs *crash_fs_create(void)
{
    struct crash_fs *fs = memory_zalloc(sizeof *fs);
    fs->table = (struct file_system){
        .cookie = fs,
        .open = fs_open,
        .close = fs_close,
        .read = fs_read,
        .write = fs_write,
        .sync = fs_sync,
        .forget_cached = fs_forget_cached,
        .size = fs_size,
        .rename = fs_rename,
        .remove = fs_remove,
        .make_directory = fs_make_directory,
        .sync_directory = fs_sync_directory,
        .exists = fs_exists,
        .list = fs_list,
        .space = fs_space,
    };
    struct inode *root = make_inode(fs, true);
    names_set(&fs->now, "/store", root);
    names_set(&fs->durable, "/store", root);
    return fs;
}

static void forget_changes(struct crash_fs *fs)
{
    for (size_t i = 0; i < fs->change_count; i++) {
        free(fs->changes[i].directory);
        free(fs->changes[i].path);
    }
    fs->change_count = 0;
}

void crash_fs_destroy(struct crash_fs *fs)
{
    forget_changes(fs);
    free(fs->changes);
    names_clear(&fs->now);
    names_clear(&fs->durable);
    for (size_t i = 0; i < fs->inode_count; i++) {
        inode_forget_notes(fs->inodes[i]);
        free(fs->inodes[i]->now.bytes);
        free(fs->inodes[i]->durable.bytes);
        free(fs->inodes[i]);
    }
    free(fs->inodes);
    free(fs);
}

const struct file_system *crash_fs_table(struct crash_fs *fs)
{
    return &fs->table;
}

unsigned crash_fs_operations(const struct crash_fs *fs)
{
    return fs->operations;
}

void crash_fs_stop_at(struct crash_fs *fs, unsigned at)
{
    fs->stop_at = at;
}

bool crash_fs_stopped(const struct crash_fs *fs)
{
    return fs->stop_at != 0 && fs->operations >= fs->stop_at;
}

void crash_fs_fail_at(struct crash_fs *fs, unsigned at, int errnum, bool short_write)
{
    fs->fail_at = at;
    fs->fail_errno = errnum;
    fs->fail_short = short_write;
    fs->failed = NULL;
}

void crash_fs_lose_pages(struct crash_fs *fs)
{
    fs->loses_pages = true;
}

const char *crash_fs_failed(const struct crash_fs *fs)
{
    return fs->failed;
}

/* xorshift64* */
static unsigned choose(uint64_t *state, unsigned below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (unsigned)((*state * 2685821657736338717u) >> 33) % below;
}

/* What becomes of all that was not synced: most disks lose or keep nearly all of it, the worst any part. */
enum mood { MOOD_LOSES, MOOD_KEEPS, MOODS = 5 };

/* Of a write that was not synced: nothing, all, or some of its sectors. */
static void settle_write(struct inode *inode, const struct write_note *note, unsigned mood, uint64_t *state)
{
    unsigned part = mood < 2 ? mood : choose(state, PARTS);
    if (part == 0) {
        return;
    }
    if (part == 1) {
        content_write(&inode->durable, note->offset, note->bytes, note->length);
        return;
    }
    for (size_t at = 0; at < note->length;) {
        size_t length = SECTOR - (size_t)((note->offset + at) % SECTOR);
        length = length < note->length - at ? length : note->length - at;
        if (choose(state, PARTS) != 0) {
            content_write(&inode->durable, note->offset + at, note->bytes + at, length);
        }
        at += length;
    }
}

/* A name whose directory did not make it is not there. */
static bool is_reachable(struct names *names, const char *path)
{
    char *parent = parent_of(path);
    bool reachable = strcmp(path, "/store") == 0 ||
                     (*parent != '\0' && names_get(names, parent) != NULL && is_reachable(names, parent));
    free(parent);
    return reachable;
}

void crash_fs_crash(struct crash_fs *fs, uint64_t seed)
{
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    choose(&state, 2);
    unsigned mood = choose(&state, MOODS);
    for (size_t i = 0; i < fs->change_count; i++) {
        if (mood == MOOD_KEEPS || (mood != MOOD_LOSES && choose(&state, 2) == 0)) {
            names_set(&fs->durable, fs->changes[i].path, fs->changes[i].inode);
        }
    }
    forget_changes(fs);
    for (size_t i = 0; i < fs->inode_count; i++) {
        struct inode *inode = fs->inodes[i];
        for (size_t j = 0; j < inode->note_count; j++) {
            settle_write(inode, &inode->notes[j], mood, &state);
        }
        inode_forget_notes(inode);
        content_copy(&inode->now, &inode->durable);
    }
    for (size_t i = 0; i < fs->durable.count; i++) {
        if (!is_reachable(&fs->durable, fs->durable.items[i].path)) {
            fs->durable.items[i].inode = NULL;
        }
    }
    names_clear(&fs->now);
    for (size_t i = 0; i < fs->durable.count; i++) {
        if (fs->durable.items[i].inode != NULL) {
            names_set(&fs->now, fs->durable.items[i].path, fs->durable.items[i].inode);
        }
    }
    fs->stop_at = 0;
    fs->fail_at = 0;
}

static int export_one(const struct name *name, const char *directory, struct error *err)
{
    char *path = memory_format("%s%s", directory, name->path + strlen("/store"));
    int result = 0;
    if (name->inode->directory) {
        result = os_path_make_directory(path, 0700, err);
    } else {
        const struct content *content = &name->inode->now;
        struct os_file *file = os_file_open(path, OS_FILE_CREATE_NEW, err);
        result = file != NULL ? 0 : -1;
        if (result == 0 && content->size > 0) {
            result = os_file_write_at(file, 0, content->bytes, content->size, err);
        }
        os_file_close(file);
    }
    free(path);
    return result;
}

int crash_fs_export(const struct crash_fs *fs, const char *directory, struct error *err)
{
    int result = 0;
    for (int directories = 1; directories >= 0; directories--) {
        for (size_t i = 0; i < fs->now.count && result == 0; i++) {
            const struct name *name = &fs->now.items[i];
            if (name->inode != NULL && name->inode->directory == (directories == 1)) {
                result = export_one(name, directory, err);
            }
        }
    }
    return result;
}
