#include "agent/backup_pages_internal.h"
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

static int ask(const char *uri, uint64_t disk_size, int64_t deadline_ms, struct backup_pages_list *list,
               bool *asleep, struct error *err)
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
                     struct backup_pages_list *list, bool *asleep, struct error *err)
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
static void drop_page_files(struct backup_pages_list *list)
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

static int search_disk(const struct search *search, size_t disk, struct backup_pages_list *list, bool *asleep,
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
    if (source.socket == NULL && source.path == NULL) {
        return 0;
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
    struct backup_pages *pages = backup_pages_create(begun->n_disks);
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
    char *told = backup_pages_tell(pages, begun);
    provider_set_text(&begun->left_out, told);
    free(told);
    return pages;
}

struct backup_pages *backup_pages_create(size_t disk_count)
{
    struct backup_pages *pages = memory_zalloc(sizeof *pages);
    pages->disks = memory_array(disk_count, sizeof *pages->disks);
    pages->count = disk_count;
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
