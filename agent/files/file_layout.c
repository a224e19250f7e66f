#include "agent/files/file_layout.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADERS_MAX = 4 * 1024 * 1024, /* of one entry: extended attributes, above all */
    STEP = 64,                     /* one record in so many can be found without those before it */
    SYNC_SHIFT = 13,               /* 2^32 >> 13: 512 KiB */
    END_BLOCKS = 2 * TAR_BLOCK,
    BUFFER_SIZE = 256 * 1024,
};
static const char layout_magic[8] = "HFFILES1";
static const uint64_t archive_max = (uint64_t)1 << 56;
static const uint64_t unknown = UINT64_MAX;

/* The file: this, then records. In the byte order of the host: no other reads it. */
struct layout_head {
    char magic[8];
    uint64_t length; /* of the whole file; 0: not finished */
    uint64_t count;
    uint64_t size;
    uint64_t data_size;
};

/* Then path, link, each with a NUL, and attributes; multiples of 8 bytes. */
struct layout_record {
    uint32_t length;
    uint32_t path_length;
    uint32_t link_length;
    uint32_t attributes_length;
    uint64_t number;
    uint64_t offset;
    uint64_t pad;
    uint64_t data;
    uint64_t end;
    uint64_t former;
    uint64_t last_data;   /* where the data of the last entry before this one begins that is aligned */
    uint64_t last_former; /* and where it was */
    uint64_t size;
    uint64_t inode;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t major;
    uint32_t minor;
    uint32_t root;
    uint8_t type;
    uint8_t sparse;
    uint8_t aligned;
    uint8_t unused;
};

struct layout_file {
    const uint8_t *bytes; /* mapped */
    uint64_t length;
};

struct layout_step {
    uint64_t offset; /* in the archive */
    uint64_t record; /* in the file */
};

struct file_layout {
    char *path;
    FILE *file; /* while it is built */
    struct layout_head head;
    struct layout_step *steps;
    size_t step_count;
    uint64_t written; /* bytes of the file */
    uint64_t last_data;
    uint64_t last_former;
    struct layout_file former; /* the layout before; no bytes: none */
    uint64_t former_record;    /* how far it was compared */
    struct buffer scratch;
    struct layout_file own; /* once it is finished */
};

/* --- the file */

static void unmap(struct layout_file *file)
{
    if (file->bytes)
        munmap((void *)(uintptr_t)file->bytes, file->length);
    *file = (struct layout_file){0};
}

/* Only a finished one. -1 with errno, 0 when it is none. */
static int map_file(const char *path, struct layout_file *file)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    void *bytes = MAP_FAILED;
    if (fstat(fd, &info) == 0 && (uint64_t)info.st_size >= sizeof(struct layout_head))
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    int errnum = errno;
    close(fd);
    errno = errnum;
    if (bytes == MAP_FAILED)
        return -1;
    *file = (struct layout_file){bytes, (uint64_t)info.st_size};
    const struct layout_head *head = bytes;
    if (memcmp(head->magic, layout_magic, sizeof layout_magic) != 0 || head->length != file->length) {
        unmap(file);
        return 0;
    }
    return 1;
}

/* NULL at the end. */
static const struct layout_record *record_at(const struct layout_file *file, uint64_t position)
{
    if (!file->bytes || position + sizeof(struct layout_record) > file->length)
        return NULL;
    const struct layout_record *record = (const void *)(file->bytes + position);
    uint64_t texts = (uint64_t)record->path_length + record->link_length + record->attributes_length + 2;
    return record->length % 8 == 0 && record->length >= sizeof *record + texts &&
                   record->length <= file->length - position
               ? record
               : NULL;
}

static const char *path_of(const struct layout_record *record)
{
    return (const char *)(record + 1);
}

static int failed(const struct file_layout *layout, struct error *err)
{
    return error_set_errno(err, ERROR_FILE_FAILED, errno, "The layout %s could not be written.",
                           layout->path);
}

struct file_layout *file_layout_create(const char *path, const char *former, struct error *err)
{
    struct file_layout *layout = memory_zalloc(sizeof *layout);
    layout->path = memory_copy_text(path);
    layout->last_data = unknown;
    layout->last_former = unknown;
    layout->written = sizeof layout->head;
    buffer_init(&layout->scratch, HEADERS_MAX);
    if (former)
        (void)map_file(former, &layout->former);
    layout->former_record = sizeof layout->head;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    layout->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!layout->file || setvbuf(layout->file, NULL, _IOFBF, BUFFER_SIZE) != 0 ||
        fwrite(&layout->head, sizeof layout->head, 1, layout->file) != 1) {
        failed(layout, err);
        file_layout_close(layout);
        return NULL;
    }
    return layout;
}

void file_layout_close(struct file_layout *layout)
{
    if (!layout)
        return;
    if (layout->file)
        fclose(layout->file);
    unmap(&layout->former);
    unmap(&layout->own);
    buffer_free(&layout->scratch);
    free(layout->steps);
    free(layout->path);
    free(layout);
}

/* --- the layout before */

/* How the walk orders two paths; a directory comes before what is in it. */
static int compare_paths(const char *a, bool a_directory, const char *b, bool b_directory)
{
    size_t same = 0;
    size_t begin = 0; /* of the component that differs */
    for (; a[same] == b[same]; same++) {
        if (a[same] == '\0')
            return 0;
        if (a[same] == '/')
            begin = same + 1;
    }
    if (a[same] == '\0' && b[same] == '/')
        return -1;
    if (b[same] == '\0' && a[same] == '/')
        return 1;
    bool a_deeper = a_directory || strchr(a + begin, '/') != NULL;
    bool b_deeper = b_directory || strchr(b + begin, '/') != NULL;
    if (a_deeper != b_deeper)
        return a_deeper ? 1 : -1;
    unsigned char left = a[same] == '/' ? 0 : (unsigned char)a[same]; /* the component ends there */
    unsigned char right = b[same] == '/' ? 0 : (unsigned char)b[same];
    return left < right ? -1 : 1;
}

/* Where the data of an aligned entry was. Both layouts are gone through once, side by side. */
static uint64_t find_former(struct file_layout *layout, const struct tar_entry *entry)
{
    const struct layout_record *record;
    while ((record = record_at(&layout->former, layout->former_record)) != NULL) {
        int order = compare_paths(path_of(record), record->type == TAR_DIRECTORY, entry->path,
                                  entry->type == TAR_DIRECTORY);
        if (order > 0)
            break;
        layout->former_record += record->length;
        if (order == 0)
            return record->aligned ? record->data : unknown;
    }
    return unknown;
}

/* --- building */

static uint32_t hash_path(const char *path)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    return hash;
}

static uint64_t round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

/* Large, or one of those at which small files fall into step again. */
static bool wants_alignment(const struct tar_entry *entry, uint64_t headers)
{
    if (entry->size >= FILE_LAYOUT_ALIGNMENT)
        return true;
    return hash_path(entry->path) < (headers + entry->size) << SYNC_SHIFT;
}

static int place(struct file_layout *layout, const struct tar_entry *entry, struct layout_record *record,
                 struct error *err)
{
    buffer_clear(&layout->scratch);
    if (tar_header_write(&layout->scratch, entry, 0) != 0 || entry->size > archive_max)
        return error_set(err, ERROR_REQUEST_INVALID, "What is known of /%.200s does not fit into an archive.",
                         entry->path);
    record->number = layout->head.count;
    record->offset = layout->head.size;
    record->data = record->offset + layout->scratch.length;
    record->aligned = wants_alignment(entry, layout->scratch.length);
    record->former = record->aligned ? find_former(layout, entry) : unknown;
    if (record->aligned) {
        uint64_t data = round_up(record->data, FILE_LAYOUT_ALIGNMENT);
        record->pad = (data - record->data) / TAR_BLOCK;
        record->data = data;
    }
    record->end = record->data + round_up(entry->size, TAR_BLOCK);
    record->last_data = layout->last_data;
    record->last_former = layout->last_former;
    return record->end <= archive_max
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID, "The files are too much for one archive.");
}

static int write_record(struct file_layout *layout, const struct layout_record *record,
                        const struct tar_entry *entry)
{
    static const uint8_t zeros[8];
    uint64_t length =
        sizeof *record + record->path_length + record->link_length + 2 + record->attributes_length;
    FILE *file = layout->file;
    if (fwrite(record, sizeof *record, 1, file) != 1 ||
        fwrite(entry->path, record->path_length + 1, 1, file) != 1 ||
        fwrite(entry->link, record->link_length + 1, 1, file) != 1 ||
        (entry->attributes_length > 0 && fwrite(entry->attributes, entry->attributes_length, 1, file) != 1))
        return -1;
    return length == record->length || fwrite(zeros, record->length - length, 1, file) == 1 ? 0 : -1;
}

static void remember_step(struct file_layout *layout, uint64_t offset)
{
    if (layout->head.count % STEP != 0)
        return;
    if (layout->step_count % 1024 == 0)
        layout->steps = memory_resize(layout->steps, layout->step_count + 1024, sizeof *layout->steps);
    layout->steps[layout->step_count++] = (struct layout_step){offset, layout->written};
}

int file_layout_add(struct file_layout *layout, const struct file_entry *entry, struct error *err)
{
    const struct tar_entry *tar = &entry->tar;
    struct layout_record record = {
        .path_length = (uint32_t)strnlen(tar->path, UINT32_MAX / 8),
        .link_length = (uint32_t)strnlen(tar->link, UINT32_MAX / 8),
        .attributes_length =
            (uint32_t)(tar->attributes_length < HEADERS_MAX ? tar->attributes_length : HEADERS_MAX),
        .size = tar->size,
        .inode = entry->inode,
        .mtime_s = tar->mtime_s,
        .mtime_ns = tar->mtime_ns,
        .mode = tar->mode,
        .uid = tar->uid,
        .gid = tar->gid,
        .major = tar->major,
        .minor = tar->minor,
        .root = entry->root,
        .type = (uint8_t)tar->type,
        .sparse = entry->sparse,
    };
    record.length = (uint32_t)round_up(
        sizeof record + record.path_length + record.link_length + 2 + record.attributes_length, 8);
    if (place(layout, tar, &record, err) != 0)
        return -1;
    remember_step(layout, record.offset);
    if (write_record(layout, &record, tar) != 0)
        return failed(layout, err);
    layout->written += record.length;
    layout->head.count++;
    layout->head.size = record.end;
    layout->head.data_size += tar->size;
    if (record.aligned) {
        layout->last_data = record.data;
        layout->last_former = record.former;
    }
    return 0;
}

int file_layout_finish(struct file_layout *layout, struct error *err)
{
    memcpy(layout->head.magic, layout_magic, sizeof layout_magic);
    layout->head.size = round_up(layout->head.size + END_BLOCKS, FILE_LAYOUT_ALIGNMENT);
    layout->head.length = layout->written;
    struct layout_head head = layout->head;
    FILE *file = layout->file;
    layout->file = NULL;
    bool written = fflush(file) == 0 && pwrite(fileno(file), &head, sizeof head, 0) == (ssize_t)sizeof head;
    if ((fclose(file) != 0) | !written)
        return failed(layout, err);
    unmap(&layout->former);
    return map_file(layout->path, &layout->own) == 1 ? 0 : failed(layout, err);
}

/* --- reading */

uint64_t file_layout_peek_size(const char *path)
{
    struct layout_file file = {0};
    uint64_t size = map_file(path, &file) == 1 ? ((const struct layout_head *)file.bytes)->size : 0;
    unmap(&file);
    return size;
}

uint64_t file_layout_size(const struct file_layout *layout)
{
    return layout->head.size;
}

uint64_t file_layout_count(const struct file_layout *layout)
{
    return layout->head.count;
}

uint64_t file_layout_data_size(const struct file_layout *layout)
{
    return layout->head.data_size;
}

static void take_entry(const struct layout_record *record, struct file_entry *entry)
{
    const char *path = path_of(record);
    const char *link = path + record->path_length + 1;
    *entry = (struct file_entry){
        .tar = {.type = (enum tar_type)record->type,
                .path = path,
                .link = link,
                .size = record->size,
                .mtime_s = record->mtime_s,
                .mtime_ns = record->mtime_ns,
                .mode = record->mode,
                .uid = record->uid,
                .gid = record->gid,
                .major = record->major,
                .minor = record->minor,
                .attributes = link + record->link_length + 1,
                .attributes_length = record->attributes_length},
        .root = record->root,
        .inode = record->inode,
        .sparse = record->sparse,
        .number = record->number,
        .offset = record->offset,
        .pad = record->pad,
        .data = record->data,
        .end = record->end,
        .aligned = record->aligned,
        .former = record->former,
    };
}

/* The position of the record that holds the byte at offset, or that of the end. */
static uint64_t find_record(const struct file_layout *layout, uint64_t offset)
{
    size_t low = 0; /* the last step at or before offset lies in low … high - 1 */
    size_t high = layout->step_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (layout->steps[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    uint64_t position = layout->step_count > 0 ? layout->steps[low].record : sizeof layout->head;
    const struct layout_record *record;
    while ((record = record_at(&layout->own, position)) != NULL && record->end <= offset)
        position += record->length;
    return position;
}

bool file_layout_next(const struct file_layout *layout, struct file_cursor *cursor, struct file_entry *entry)
{
    const struct layout_record *record = record_at(&layout->own, cursor->record);
    if (!record)
        return false;
    take_entry(record, entry);
    cursor->record += record->length;
    return true;
}

bool file_layout_find(const struct file_layout *layout, uint64_t offset, struct file_cursor *cursor,
                      struct file_entry *entry)
{
    cursor->record = find_record(layout, offset);
    return file_layout_next(layout, cursor, entry);
}

uint64_t file_layout_former(const struct file_layout *layout, uint64_t offset)
{
    const struct layout_record *record = record_at(&layout->own, find_record(layout, offset));
    uint64_t data = record ? record->last_data : layout->last_data;
    uint64_t former = record ? record->last_former : layout->last_former;
    if (record && record->aligned && offset >= record->data) {
        data = record->data;
        former = record->former;
    }
    return former == unknown || data == unknown ? unknown : former + (offset - data);
}
