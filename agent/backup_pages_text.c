/* What is left out, as text: from the process that looks for it, and to the next backup. */
#include "agent/backup_pages_internal.h"

#include "agent/pages_read.h"
#include "base/buffer.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 8 * 1024 * 1024 }; /* half a control message */

static const char disk_word[] = "disk ";
static const char not_told[] = "everything";

/* The part of the text that has not been read. */
struct cursor {
    const char *at;
    const char *end;
};

static bool take_number(struct cursor *cursor, uint64_t *number)
{
    const char *from = cursor->at;
    *number = 0;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++) {
        uint64_t digit = (uint64_t)(*cursor->at - '0');
        if (*number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *number = *number * 10 + digit;
    }
    return cursor->at > from;
}

static bool take_text(struct cursor *cursor, const char *text)
{
    size_t length = strlen(text);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, text, length) != 0) {
        return false;
    }
    cursor->at += length;
    return true;
}

static bool take_kind(struct cursor *cursor, enum disk_pages_kind *kind)
{
    if (take_text(cursor, pages_swap_partition)) {
        *kind = DISK_PAGES_SWAP_PARTITION;
    } else if (take_text(cursor, pages_swap_file)) {
        *kind = DISK_PAGES_SWAP_FILE;
    } else {
        *kind = DISK_PAGES_PAGE_FILE;
        return take_text(cursor, pages_page_file);
    }
    return true;
}

/* A line of numbers; what it says lies on the disk, from `position` on. */
static bool take_range(struct cursor *cursor, uint64_t position, uint64_t size,
                       struct disk_pages_range *range)
{
    return take_number(cursor, &range->offset) && take_text(cursor, " ") &&
           take_number(cursor, &range->length) && take_text(cursor, " ") && take_kind(cursor, &range->kind) &&
           take_text(cursor, "\n") && range->length > 0 && range->offset >= position &&
           range->offset <= size && range->length <= size - range->offset;
}

/* Lines of ranges, up to the end or to something else. */
static int take_ranges(struct cursor *cursor, uint64_t disk_size, struct backup_pages_list *list)
{
    size_t capacity = 0;
    uint64_t position = 0;
    *list = (struct backup_pages_list){0};
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        struct disk_pages_range range;
        if (list->count == PAGES_LINES_MAX || !take_range(cursor, position, disk_size, &range)) {
            return -1;
        }
        if (list->count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            list->ranges = memory_resize(list->ranges, capacity, sizeof *list->ranges);
        }
        list->ranges[list->count++] = range;
        position = range.offset + range.length;
    }
    return 0;
}

int backup_pages_parse(const char *text, size_t length, uint64_t disk_size, struct disk_pages_range **ranges,
                       size_t *count, bool *asleep, struct error *err)
{
    struct cursor cursor = {.at = text, .end = text + length};
    struct backup_pages_list list = {0};
    *asleep = take_text(&cursor, pages_asleep);
    if ((*asleep && !take_text(&cursor, "\n")) || take_ranges(&cursor, disk_size, &list) != 0 ||
        cursor.at < cursor.end) {
        free(list.ranges);
        return error_set(err, ERROR_PROTOCOL_INVALID, "What it said can't be so");
    }
    *ranges = list.ranges;
    *count = list.count;
    return 0;
}

/* --- to the next backup
 * --------------------------------------------------------------------------------- */

static int tell_disk(const struct backup_pages_list *list, const char *name, struct buffer *text)
{
    int failed = list->count > 0 ? buffer_append_format(text, "%s%s\n", disk_word, name) : 0;
    for (size_t i = 0; i < list->count && failed == 0; i++) {
        const struct disk_pages_range *range = &list->ranges[i];
        failed = buffer_append_format(text, "%llu %llu %s\n", (unsigned long long)range->offset,
                                      (unsigned long long)range->length, pages_kind_name(range->kind));
    }
    return failed;
}

char *backup_pages_tell(const struct backup_pages *pages, const Holdfast__BackupBeginReply *begun)
{
    struct buffer text;
    int failed = 0;
    buffer_init(&text, TOLD_MAX);
    for (size_t i = 0; pages != NULL && i < pages->count && failed == 0; i++) {
        failed = tell_disk(&pages->disks[i], begun->disks[i]->name, &text);
    }
    char *told = memory_copy_text(failed == 0 ? buffer_text(&text) : not_told);
    buffer_free(&text);
    return told;
}

/* The position of the disk that the cursor's line names; the number of disks when it is not there any more.
 */
static int take_disk(struct cursor *cursor, const Holdfast__BackupBeginReply *begun, size_t *disk)
{
    const char *end;
    if (!take_text(cursor, disk_word) ||
        (end = memchr(cursor->at, '\n', (size_t)(cursor->end - cursor->at))) == NULL) {
        return -1;
    }
    size_t length = (size_t)(end - cursor->at);
    for (*disk = 0; *disk < begun->n_disks; ++*disk) {
        const char *name = begun->disks[*disk]->name;
        if (strlen(name) == length && memcmp(name, cursor->at, length) == 0) {
            break;
        }
    }
    cursor->at = end + 1;
    return 0;
}

static int recall(struct backup_pages *pages, const char *text, const Holdfast__BackupBeginReply *begun)
{
    struct cursor cursor = {.at = text, .end = text + strlen(text)};
    while (cursor.at < cursor.end) {
        size_t disk;
        struct backup_pages_list list = {0};
        if (take_disk(&cursor, begun, &disk) != 0) {
            return -1;
        }
        bool known = disk < begun->n_disks;
        if (known && pages->disks[disk].ranges != NULL) {
            return -1; /* told twice */
        }
        if (take_ranges(&cursor, known ? begun->disks[disk]->size : UINT64_MAX, &list) != 0) {
            free(list.ranges);
            return -1;
        }
        if (known) {
            pages->disks[disk] = list;
        } else {
            free(list.ranges);
        }
    }
    return 0;
}

struct backup_pages *backup_pages_recall(const char *text, const Holdfast__BackupBeginReply *begun)
{
    struct backup_pages *pages = backup_pages_create(begun->n_disks);
    if (recall(pages, text, begun) == 0) {
        return pages;
    }
    for (size_t i = 0; i < begun->n_disks; i++) {
        struct backup_pages_list *list = &pages->disks[i];
        free(list->ranges);
        list->ranges = memory_array(1, sizeof *list->ranges);
        list->ranges[0] =
            (struct disk_pages_range){.length = begun->disks[i]->size, .kind = DISK_PAGES_SWAP_FILE};
        list->count = 1;
    }
    return pages;
}

/* --- what is told of it
 * --------------------------------------------------------------------------------- */

static char *size_text(uint64_t bytes)
{
    static const uint64_t mib = (uint64_t)1 << 20;
    static const uint64_t gib = (uint64_t)1 << 30;
    return bytes < gib ? memory_format("%.1f MiB", (double)bytes / (double)mib)
                       : memory_format("%.1f GiB", (double)bytes / (double)gib);
}

char *backup_pages_note(const char *disk, uint64_t swap_bytes, uint64_t page_file_bytes)
{
    if (swap_bytes == 0 && page_file_bytes == 0) {
        return NULL;
    }
    char *swap = size_text(swap_bytes);
    char *page_file = size_text(page_file_bytes);
    char *note = page_file_bytes == 0 ? memory_format("%s: %s of swap left out", disk, swap)
                 : swap_bytes == 0
                     ? memory_format("%s: %s of page files left out", disk, page_file)
                     : memory_format("%s: %s of swap and %s of page files left out", disk, swap, page_file);
    free(swap);
    free(page_file);
    return note;
}
