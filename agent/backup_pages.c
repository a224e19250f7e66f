#include "agent/backup_pages.h"

#include "agent/pages_read.h"
#include "agent/providers/provider_reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_process.h"
#include "disk/qemu_nbd.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whatever is installed in its place meanwhile, this program runs. */
static const char own_program[] = "/proc/self/exe";

struct disk_list {
    struct disk_pages_range *ranges;
    size_t count;
};

struct backup_pages {
    struct disk_list *disks;
    size_t count;
    bool asleep;
    size_t sleeper; /* the disk, when asleep */
};

/* --- what the process says
 * ------------------------------------------------------------------------------ */

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

int backup_pages_parse(const char *text, size_t length, uint64_t disk_size, struct disk_pages_range **ranges,
                       size_t *count, bool *asleep, struct error *err)
{
    struct cursor cursor = {.at = text, .end = text + length};
    struct disk_pages_range *found = NULL;
    size_t capacity = 0;
    uint64_t position = 0;
    *count = 0;
    *asleep = take_text(&cursor, pages_asleep);
    bool good = !*asleep || take_text(&cursor, "\n");
    while (good && cursor.at < cursor.end) {
        struct disk_pages_range range;
        if (*count == PAGES_LINES_MAX || !take_range(&cursor, position, disk_size, &range)) {
            good = false;
            break;
        }
        if (*count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            found = memory_resize(found, capacity, sizeof *found);
        }
        found[(*count)++] = range;
        position = range.offset + range.length;
    }
    if (!good) {
        free(found);
        return error_set(err, ERROR_PROTOCOL_INVALID, "What it said can't be so");
    }
    *ranges = found;
    return 0;
}

/* --- asking it
 * ------------------------------------------------------------------------------------------ */

static int ask(const char *uri, uint64_t disk_size, int64_t deadline_ms, struct disk_list *list, bool *asleep,
               struct error *err)
{
    const char *const argv[] = {own_program, "read-pages", uri, NULL};
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    char *text = NULL;
    if (os_process_run_for(argv, left_ms > 0 ? (unsigned)left_ms : 0, PAGES_LINES_MAX * PAGES_LINE_SIZE,
                           &text, err) != 0) {
        return -1;
    }
    int result = backup_pages_parse(text, strlen(text), disk_size, &list->ranges, &list->count, asleep, err);
    free(text);
    return result;
}

/* An image that nobody serves: by a private server, which goes when it has been asked. */
static int ask_image(const struct provider_disk_source *source, uint64_t disk_size, int64_t deadline_ms,
                     struct disk_list *list, bool *asleep, struct error *err)
{
    /* the first client waits until it listens, and keeps it for the second */
    const struct qemu_nbd_image image = {.path = source->path, .format = source->format, .clients = 2};
    struct qemu_nbd *server = qemu_nbd_start(&image, err);
    if (server == NULL) {
        return -1;
    }
    int result = -1;
    int fd = qemu_nbd_dial(server, err);
    if (fd >= 0) {
        char *uri = memory_format("nbd+unix:///?socket=%s", qemu_nbd_socket(server));
        result = ask(uri, disk_size, deadline_ms, list, asleep, err);
        free(uri);
        close(fd);
    }
    qemu_nbd_stop(server);
    return result;
}

/* Page files are believed only where nothing is under way in the file system. */
static void drop_page_files(struct disk_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (list->ranges[i].kind != DISK_PAGES_PAGE_FILE) {
            list->ranges[kept++] = list->ranges[i];
        }
    }
    list->count = kept;
}

struct search {
    const struct provider *provider;
    struct provider_backup *backup;
    const Holdfast__BackupBeginReply *begun;
    const atomic_bool *cancelled;
    int64_t deadline_ms;
};

static int search_disk(const struct search *search, size_t disk, struct disk_list *list, bool *asleep,
                       struct error *err)
{
    uint64_t size = search->begun->disks[disk]->size;
    bool frozen = strcmp(search->begun->consistency, "crash") != 0;
    struct provider_disk_source source;
    int result;
    search->provider->backup_locate_disk(search->backup, disk, &source);
    if (atomic_load(search->cancelled)) {
        return error_set(err, ERROR_JOB_CANCELLED, "The job was cancelled");
    }
    if (!source.still) {
        return error_set(err, ERROR_SNAPSHOT_FAILED, "It may change while it is read");
    }
    if (source.socket != NULL) {
        char *uri = memory_format("nbd+unix:///%s?socket=%s", source.export_name, source.socket);
        result = ask(uri, size, search->deadline_ms, list, asleep, err);
        free(uri);
    } else {
        result = ask_image(&source, size, search->deadline_ms, list, asleep, err);
    }
    if (result == 0 && !frozen && !source.off) {
        drop_page_files(list);
    }
    return result;
}

static void warn(Holdfast__BackupBeginReply *begun, size_t disk, const struct error *why)
{
    struct error warning;
    char *reason = provider_reason(why);
    error_set(&warning, why->code, "Page and swap files are not left out: disk %s could not be searched: %s",
              begun->disks[disk]->name, reason);
    free(reason);
    log_error("page and swap files not left out", &warning);
    provider_add_warning(&begun->warnings, &begun->n_warnings, &warning);
}

/* A system sleeps on that disk: it will go on with what all of them have. */
static void take_nothing(struct backup_pages *pages, size_t sleeper)
{
    pages->asleep = true;
    pages->sleeper = sleeper;
    for (size_t i = 0; i < pages->count; i++) {
        pages->disks[i].count = 0;
    }
}

struct backup_pages *backup_pages_find(const struct provider *provider, struct provider_backup *backup,
                                       Holdfast__BackupBeginReply *begun, const atomic_bool *cancelled)
{
    const struct search search = {.provider = provider,
                                  .backup = backup,
                                  .begun = begun,
                                  .cancelled = cancelled,
                                  .deadline_ms = clock_monotonic_ms() + PAGES_SECONDS * 1000};
    struct backup_pages *pages = memory_zalloc(sizeof *pages);
    pages->disks = memory_array(begun->n_disks, sizeof *pages->disks);
    pages->count = begun->n_disks;
    for (size_t i = 0; i < begun->n_disks && !pages->asleep; i++) {
        struct error err;
        bool asleep = false;
        if (search_disk(&search, i, &pages->disks[i], &asleep, &err) != 0) {
            warn(begun, i, &err);
            backup_pages_destroy(pages);
            return NULL;
        }
        if (asleep) {
            take_nothing(pages, i);
        }
    }
    return pages;
}

void backup_pages_destroy(struct backup_pages *pages)
{
    if (pages == NULL) {
        return;
    }
    for (size_t i = 0; i < pages->count; i++) {
        free(pages->disks[i].ranges);
    }
    free(pages->disks);
    free(pages);
}

const struct disk_pages_range *backup_pages_get(const struct backup_pages *pages, size_t disk, size_t *count)
{
    *count = pages != NULL ? pages->disks[disk].count : 0;
    return pages != NULL ? pages->disks[disk].ranges : NULL;
}

bool backup_pages_asleep(const struct backup_pages *pages, size_t *disk)
{
    if (pages == NULL || !pages->asleep) {
        return false;
    }
    *disk = pages->sleeper;
    return true;
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
