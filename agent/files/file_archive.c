#include "agent/files/file_archive.h"
#include "base/memory.h"
#include "disk/disk_reader_source.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADERS_MAX = 8 * 1024 * 1024 };

struct file_archive {
    const struct file_root *roots;
    struct file_layout *layout;
    struct file_troubles *troubles;
    pthread_mutex_t lock; /* guards noted */
    uint8_t *noted;       /* a bit for each entry that something was noted of */
};

/* A reader has the file open that it read last. */
struct archive_reader {
    struct file_archive *archive;
    struct buffer headers;
    int fd;          /* -1: none, or it can't be read */
    bool has_file;   /* number is that of a file */
    uint64_t number; /* of its entry */
    struct file_entry entry;
};

struct file_archive *file_archive_open(const struct file_archive_options *options, struct error *err)
{
    struct file_archive *archive = memory_zalloc(sizeof *archive);
    archive->roots = options->walk.roots;
    archive->troubles = file_troubles_create();
    pthread_mutex_init(&archive->lock, NULL);
    archive->layout = file_layout_create(options->layout, options->former, err);
    if (!archive->layout || file_walk(&options->walk, archive->layout, archive->troubles, err) != 0 ||
        file_layout_finish(archive->layout, err) != 0) {
        file_archive_close(archive);
        return NULL;
    }
    archive->noted = memory_array(file_layout_count(archive->layout) / 8 + 1, 1);
    return archive;
}

void file_archive_close(struct file_archive *archive)
{
    if (!archive)
        return;
    file_layout_close(archive->layout);
    file_troubles_destroy(archive->troubles);
    pthread_mutex_destroy(&archive->lock);
    free(archive->noted);
    free(archive);
}

uint64_t file_archive_size(const struct file_archive *archive)
{
    return file_layout_size(archive->layout);
}

uint64_t file_archive_data_size(const struct file_archive *archive)
{
    return file_layout_data_size(archive->layout);
}

uint64_t file_archive_former(const struct file_archive *archive, uint64_t offset)
{
    return file_layout_former(archive->layout, offset);
}

void file_archive_troubles(struct file_archive *archive, Holdfast__Failure ***warnings, size_t *count)
{
    file_troubles_report(archive->troubles, warnings, count);
}

/* Once for each file, whatever else happens to it. */
static void note(struct file_archive *archive, enum file_trouble kind, const struct file_entry *entry,
                 int why)
{
    uint8_t *byte = &archive->noted[entry->number / 8];
    uint8_t bit = (uint8_t)(1u << (entry->number % 8));
    pthread_mutex_lock(&archive->lock);
    bool first = !(*byte & bit);
    *byte |= bit;
    pthread_mutex_unlock(&archive->lock);
    if (first)
        file_troubles_note(archive->troubles, kind, entry->tar.path, why);
}

static bool is_as_noted(int fd, const struct file_entry *entry)
{
    struct stat info;
    return fstat(fd, &info) == 0 && (uint64_t)info.st_size == entry->tar.size &&
           info.st_ino == entry->inode && info.st_mtim.tv_sec == entry->tar.mtime_s &&
           info.st_mtim.tv_nsec == entry->tar.mtime_ns;
}

static void close_file(struct archive_reader *reader)
{
    if (reader->fd >= 0) {
        if (!is_as_noted(reader->fd, &reader->entry))
            note(reader->archive, FILE_TROUBLE_CHANGED, &reader->entry, 0);
        close(reader->fd);
    }
    reader->fd = -1;
    reader->has_file = false;
}

/* The file of the entry; without one it reads as zeros. */
static void open_file(struct archive_reader *reader, const struct file_entry *entry)
{
    struct file_archive *archive = reader->archive;
    const struct file_root *root = &archive->roots[entry->root];
    struct stat info;
    if (reader->has_file && reader->number == entry->number)
        return;
    close_file(reader);
    reader->has_file = true;
    reader->number = entry->number;
    reader->entry = *entry;
    reader->fd = file_open_beneath(root->fd, file_path_beneath(root, entry->tar.path),
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    int why = errno;
    if (reader->fd >= 0 && (fstat(reader->fd, &info) != 0 || !S_ISREG(info.st_mode))) {
        close(reader->fd);
        reader->fd = -1;
        why = ENOENT;
    }
    if (reader->fd < 0)
        note(archive, why == ENOENT || why == ENOTDIR ? FILE_TROUBLE_GONE : FILE_TROUBLE_BROKEN, entry,
             why == ENOENT ? 0 : why);
    else if (!is_as_noted(reader->fd, entry))
        note(archive, FILE_TROUBLE_CHANGED, entry, 0);
}

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

static void read_data(struct archive_reader *reader, const struct file_entry *entry, uint64_t at,
                      uint8_t *out, size_t length)
{
    open_file(reader, entry);
    while (length > 0 && reader->fd >= 0) {
        ssize_t got = pread(reader->fd, out, length, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            note(reader->archive, FILE_TROUBLE_BROKEN, entry, errno);
        else if (got == 0)
            note(reader->archive, FILE_TROUBLE_CHANGED, entry, 0);
        if (got <= 0)
            break;
        out += got;
        at += (uint64_t)got;
        length -= (size_t)got;
    }
    memset(out, 0, length);
}

static int read_headers(struct archive_reader *reader, const struct file_entry *entry, uint64_t at,
                        uint8_t *out, size_t length, struct error *err)
{
    buffer_clear(&reader->headers);
    if (tar_header_write(&reader->headers, &entry->tar, entry->pad) != 0 ||
        reader->headers.length != entry->data - entry->offset)
        return error_set(err, ERROR_DISK_READ_FAILED, "The layout of the archive is damaged at /%.200s.",
                         entry->tar.path);
    memcpy(out, reader->headers.data + at, length);
    return 0;
}

/* A piece of what is one thing in the archive: headers, data, or what fills the last block. */
static int read_piece(struct archive_reader *reader, const struct file_entry *entry, uint64_t offset,
                      uint8_t *out, size_t wanted, size_t *length, struct error *err)
{
    uint64_t data_end = entry->data + entry->tar.size;
    if (offset < entry->data) {
        *length = least(entry->data - offset, wanted);
        return read_headers(reader, entry, offset - entry->offset, out, *length, err);
    }
    if (offset < data_end) {
        *length = least(data_end - offset, wanted);
        read_data(reader, entry, offset - entry->data, out, *length);
        return 0;
    }
    *length = least(entry->end - offset, wanted);
    memset(out, 0, *length);
    return 0;
}

static int archive_read(void *self, uint64_t offset, void *out, size_t length, struct error *err)
{
    struct archive_reader *reader = self;
    struct file_cursor cursor;
    struct file_entry entry;
    uint8_t *to = out;
    bool more = file_layout_find(reader->archive->layout, offset, &cursor, &entry);
    while (more && length > 0) {
        size_t piece = 0;
        if (offset >= entry.end) {
            more = file_layout_next(reader->archive->layout, &cursor, &entry);
            continue;
        }
        if (read_piece(reader, &entry, offset, to, length, &piece, err) != 0)
            return -1;
        to += piece;
        offset += piece;
        length -= piece;
    }
    memset(to, 0, length); /* the end of the archive */
    return 0;
}

/* The extent of a file with holes. What its file system doesn't tell is data. */
static struct disk_extent extent_in_file(struct archive_reader *reader, const struct file_entry *entry,
                                         uint64_t offset)
{
    uint64_t at = offset - entry->data;
    struct disk_extent extent = {offset, entry->tar.size - at, DISK_EXTENT_DATA};
    open_file(reader, entry);
    off_t data = reader->fd >= 0 ? lseek(reader->fd, (off_t)at, SEEK_DATA) : -1;
    if (data < 0 && (reader->fd < 0 || errno != ENXIO))
        return extent;
    if (data < 0 || (uint64_t)data >= entry->tar.size) {
        extent.kind = DISK_EXTENT_ZERO;
    } else if ((uint64_t)data > at) {
        extent.kind = DISK_EXTENT_ZERO;
        extent.length = (uint64_t)data - at;
    } else {
        off_t hole = lseek(reader->fd, (off_t)at, SEEK_HOLE);
        if (hole > data && (uint64_t)hole < entry->tar.size)
            extent.length = (uint64_t)hole - at;
    }
    return extent;
}

/* At offset: a hole of a file, or data as far as the next file that may have one. */
static struct disk_extent extent_at(struct archive_reader *reader, uint64_t offset, uint64_t stop)
{
    struct file_cursor cursor;
    struct file_entry entry;
    uint64_t at = offset;
    bool more = file_layout_find(reader->archive->layout, offset, &cursor, &entry);
    if (!more)
        return (struct disk_extent){offset, stop - offset, DISK_EXTENT_ZERO};
    if (entry.sparse && offset >= entry.data && offset < entry.data + entry.tar.size)
        return extent_in_file(reader, &entry, offset);
    while (more && at < stop && !(entry.sparse && entry.data > offset)) {
        at = entry.end;
        more = file_layout_next(reader->archive->layout, &cursor, &entry);
    }
    if (more && at < stop)
        at = entry.data;
    return (struct disk_extent){offset, at - offset, DISK_EXTENT_DATA};
}

static int archive_extents(void *self, uint64_t offset, uint64_t length, struct disk_extent *extents,
                           size_t capacity, size_t *count, struct error *err)
{
    (void)err;
    uint64_t stop = offset + length;
    while (offset < stop && *count < capacity) {
        struct disk_extent extent = extent_at(self, offset, stop);
        if (extent.length > stop - offset)
            extent.length = stop - offset;
        extents[(*count)++] = extent;
        offset += extent.length;
    }
    return 0;
}

static void archive_reader_close(void *self)
{
    struct archive_reader *reader = self;
    close_file(reader);
    buffer_free(&reader->headers);
    free(reader);
}

struct disk_reader *file_archive_reader(struct file_archive *archive)
{
    static const struct disk_reader_source source = {archive_extents, archive_read, archive_reader_close};
    struct archive_reader *reader = memory_zalloc(sizeof *reader);
    reader->archive = archive;
    reader->fd = -1;
    buffer_init(&reader->headers, HEADERS_MAX);
    return disk_reader_open_source(&source, reader, file_archive_size(archive));
}
