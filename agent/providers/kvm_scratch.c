#include "agent/providers/kvm_scratch.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const uint64_t mib = 1024 * 1024;

/* Where QEMU's user can surely go. */
static const char fallback_directory[] = "/var/lib/libvirt/holdfast";

/* Can this user search the directory? */
static bool can_search(const char *path, unsigned uid, unsigned gid)
{
    struct stat info;
    if (uid == 0)
        return true;
    if (path == NULL || stat(path, &info) != 0)
        return false;
    if (info.st_uid == uid)
        return info.st_mode & S_IXUSR;
    return info.st_gid == gid ? info.st_mode & S_IXGRP : info.st_mode & S_IXOTH;
}

static bool can_reach(const char *path, const struct kvm_domain *domain)
{
    if (!domain->has_owner)
        return true;
    char part[PATH_MAX];
    for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
        size_t length = slash == path ? 1 : (size_t)(slash - path);
        if (length >= sizeof part)
            return false;
        memcpy(part, path, length);
        part[length] = '\0';
        if (!can_search(part, domain->owner_uid, domain->owner_gid))
            return false;
    }
    return can_search(path, domain->owner_uid, domain->owner_gid);
}

/* The directory that holds those of all backups; malloc'd. */
static char *find_base(const struct kvm_provider *provider, const struct kvm_domain *domain,
                       struct error *err)
{
    char *path = provider->scratch_directory ? memory_copy_text(provider->scratch_directory)
                                             : os_path_join(provider->data_directory, "scratch");
    if (os_path_make_directory(path, 0711, err) != 0) {
        free(path);
        return NULL;
    }
    if (can_reach(path, domain))
        return path;
    if (!provider->scratch_directory) { /* the agent keeps its data to itself */
        free(path);
        path = memory_copy_text(fallback_directory);
        if (os_path_make_directory(path, 0711, err) == 0 && can_reach(path, domain))
            return path;
    }
    error_set(err, ERROR_FILE_FAILED, "QEMU's user (%u) can't reach the scratch directory %s.",
              domain->owner_uid, path);
    free(path);
    return NULL;
}

static int make_private(const char *path, const struct kvm_domain *domain, struct error *err)
{
    if (mkdir(path, 0700) != 0)
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "The scratch directory %s could not be made.",
                               path);
    if (domain->has_owner && chown(path, domain->owner_uid, domain->owner_gid) != 0)
        return error_set_errno(err, ERROR_FILE_FAILED, errno,
                               "The scratch directory %s could not be given to QEMU.", path);
    return 0;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* How much it may take. A guest seldom overwrites much of its disks during a backup, so less room than that
 * is no reason not to begin: what is there is watched. */
static int plan_space(const struct kvm_provider *provider, const char *vm, uint64_t disk_bytes,
                      struct kvm_scratch *scratch, struct error *err)
{
    const uint64_t least = 64 * mib;
    uint64_t room = 0;
    uint64_t total = 0;
    if (os_path_space(scratch->directory, &room, &total, err) != 0)
        return -1;
    scratch->cap = provider->scratch_max ? provider->scratch_max : clamp(disk_bytes / 10, least, 65536 * mib);
    scratch->reserve = clamp(total / 20, 32 * mib, 1024 * mib);
    uint64_t needed = scratch->reserve + (scratch->cap < least ? scratch->cap : least);
    if (room < needed)
        return error_set(
            err, ERROR_SCRATCH_SPACE_LOW, "%s has %llu MiB free for the backup of %s; %llu MiB are needed.",
            scratch->directory, (unsigned long long)(room / mib), vm, (unsigned long long)(needed / mib));
    if (scratch->cap > room - scratch->reserve)
        scratch->cap = room - scratch->reserve;
    return 0;
}

int kvm_scratch_make(const struct kvm_provider *provider, const struct kvm_domain *domain, const char *job,
                     uint64_t disk_bytes, struct kvm_scratch *scratch, struct error *err)
{
    memset(scratch, 0, sizeof *scratch);
    char *base = find_base(provider, domain, err);
    if (!base)
        return -1;
    scratch->directory = memory_format("%s/%.16s", base, job);
    scratch->socket = os_path_join(scratch->directory, "nbd");
    free(base);
    kvm_scratch_remove_directory(scratch->directory);
    struct sockaddr_un address;
    int result = 0;
    if (strlen(scratch->socket) >= sizeof address.sun_path)
        result = error_set(err, ERROR_FILE_FAILED,
                           "The scratch directory %s is too long for a socket's name; %zu "
                           "characters are allowed.",
                           scratch->directory, sizeof address.sun_path - 5);
    if (result == 0)
        result = make_private(scratch->directory, domain, err);
    if (result == 0)
        result = plan_space(provider, domain->name, disk_bytes, scratch, err);
    if (result != 0)
        kvm_scratch_remove(scratch);
    return result;
}

char *kvm_scratch_file(const struct kvm_scratch *scratch, const char *name)
{
    return os_path_join(scratch->directory, name);
}

struct sum_work {
    const char *directory;
    uint64_t bytes;
};

static int add_file(void *cookie, const char *name)
{
    struct sum_work *work = cookie;
    char path[PATH_MAX];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", work->directory, name);
    if (lstat(path, &info) == 0 && S_ISREG(info.st_mode))
        work->bytes += (uint64_t)info.st_blocks * 512;
    return 0;
}

int kvm_scratch_check(const struct kvm_scratch *scratch, const char *vm, struct error *err)
{
    struct sum_work work = {scratch->directory, 0};
    uint64_t room = 0;
    if (os_path_list(scratch->directory, add_file, &work, err) < 0 ||
        os_path_space(scratch->directory, &room, NULL, err) != 0)
        return -1;
    if (work.bytes > scratch->cap)
        return error_set(
            err, ERROR_SCRATCH_SPACE_LOW,
            "The guest %s overwrote more than %llu MiB during the backup; the backup was given up.", vm,
            (unsigned long long)(scratch->cap / mib));
    if (room < scratch->reserve)
        return error_set(
            err, ERROR_SCRATCH_SPACE_LOW,
            "%s has only %llu MiB free; the backup of %s was given up so that the guest is not stopped.",
            scratch->directory, (unsigned long long)(room / mib), vm);
    return 0;
}

void kvm_scratch_remove_directory(const char *directory)
{
    struct error err;
    if (os_path_exists(directory) && os_path_remove_tree(directory, &err) != 0)
        log_error("scratch directory could not be removed", &err);
}

void kvm_scratch_remove(struct kvm_scratch *scratch)
{
    if (scratch->directory)
        kvm_scratch_remove_directory(scratch->directory);
    free(scratch->directory);
    free(scratch->socket);
    memset(scratch, 0, sizeof *scratch);
}
