#include "server/capacity/reserve.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

struct reserve {
    char *directory;
    uint64_t bytes;
    struct os_file *file;
    pthread_mutex_t lock; /* guards what follows */
    bool held;
};

uint64_t reserve_default(uint64_t disk_bytes)
{
    const uint64_t usual = (uint64_t)64 << 20;
    return disk_bytes / 16 < usual ? disk_bytes / 16 : usual;
}

static uint64_t free_space(const struct reserve *reserve)
{
    struct error ignored; /* a disk that can't be asked is not full */
    uint64_t bytes;
    return os_path_space(reserve->directory, &bytes, NULL, &ignored) == 0 ? bytes : UINT64_MAX;
}

/* A file that is only partly there is of no use: all or nothing. */
static void take(struct reserve *reserve)
{
    struct error err;
    uint64_t size = 0;
    if (os_file_size(reserve->file, &size, &err) == 0 && size == reserve->bytes) {
        reserve->held = true; /* by an earlier life */
        return;
    }
    if (os_file_truncate(reserve->file, 0, &err) != 0 || free_space(reserve) / 3 < reserve->bytes) {
        return;
    }
    int failure = posix_fallocate(os_file_descriptor(reserve->file), 0, (off_t)reserve->bytes);
    if (failure != 0) {
        os_file_truncate(reserve->file, 0, &err);
        error_set_errno(&err, ERROR_FILE_FAILED, failure, "Room could not be reserved in %s",
                        reserve->directory);
        log_error("no room is reserved", &err);
        return;
    }
    reserve->held = true;
    log_event(LOG_INFO, "room reserved", "directory=\"%s\" bytes=%llu", reserve->directory,
              (unsigned long long)reserve->bytes);
}

static bool release_locked(struct reserve *reserve)
{
    struct error err;
    if (!reserve->held) {
        return false;
    }
    if (os_file_truncate(reserve->file, 0, &err) != 0) {
        log_error("reserved room could not be released", &err);
        return false;
    }
    reserve->held = false;
    log_event(LOG_WARNING, "disk full: reserved room released", "directory=\"%s\" bytes=%llu",
              reserve->directory, (unsigned long long)reserve->bytes);
    return true;
}

bool reserve_release(struct reserve *reserve)
{
    pthread_mutex_lock(&reserve->lock);
    bool released = release_locked(reserve);
    pthread_mutex_unlock(&reserve->lock);
    return released;
}

void reserve_look(struct reserve *reserve)
{
    pthread_mutex_lock(&reserve->lock);
    if (reserve->bytes > 0 && !reserve->held) {
        take(reserve);
    } else if (reserve->bytes > 0 && free_space(reserve) < reserve->bytes / 8) {
        release_locked(reserve);
    }
    pthread_mutex_unlock(&reserve->lock);
}

bool reserve_is_held(struct reserve *reserve)
{
    pthread_mutex_lock(&reserve->lock);
    bool held = reserve->held || reserve->bytes == 0;
    pthread_mutex_unlock(&reserve->lock);
    return held;
}

uint64_t reserve_bytes(const struct reserve *reserve)
{
    return reserve->bytes;
}

struct reserve *reserve_open(const char *directory, uint64_t bytes, struct error *err)
{
    struct reserve *reserve = memory_zalloc(sizeof *reserve);
    char *path = os_path_join(directory, "reserve");
    reserve->directory = memory_copy_text(directory);
    reserve->bytes = bytes;
    pthread_mutex_init(&reserve->lock, NULL);
    if (bytes == 0 && os_path_remove(path, err) != 0) {
        reserve_close(reserve);
        free(path);
        return NULL;
    }
    reserve->file = bytes > 0 ? os_file_open(path, OS_FILE_OPEN_CREATE, err) : NULL;
    free(path);
    if (bytes > 0 && reserve->file == NULL) {
        reserve_close(reserve);
        return NULL;
    }
    reserve_look(reserve);
    reserve_look(reserve); /* one of an earlier life on a disk that is full now */
    return reserve;
}

void reserve_close(struct reserve *reserve)
{
    if (reserve != NULL) {
        os_file_close(reserve->file);
        pthread_mutex_destroy(&reserve->lock);
        free(reserve->directory);
        free(reserve);
    }
}
