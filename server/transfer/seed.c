#include "server/transfer/seed.h"

#include "base/log.h"
#include "storage/point.h"
#include <string.h>

/* What one disk is seeded with. */
struct match {
    const struct catalog_vm_disk *disk;
    const struct point_disk *from;
};

struct question {
    const struct catalog_vm *vm;
    const struct point *point;
    const struct catalog_vm_disk *disks;
    size_t disk_count;
    struct match *matches;
    size_t match_count;
};

static int check_vm(struct server *server, const struct catalog_vm *vm, struct error *err)
{
    if (!vm->present) {
        return error_set(err, ERROR_VM_NOT_FOUND, "VM %s no longer exists on %s", vm->name, vm->host_name);
    }
    if (vm->point_count > 0) {
        return error_set(err, ERROR_SEED_REFUSED,
                         "%s has recovery points already: backups send only what differs from the last one",
                         vm->name);
    }
    if (jobs_use_vm(server_jobs(server), vm->id)) {
        return error_set(err, ERROR_JOB_CONFLICT, "A job of %s is running", vm->name);
    }
    return 0;
}

static int add_match(struct question *question, const struct catalog_vm_disk *disk,
                     const struct point_disk *from, struct error *err)
{
    if (!disk->supported) {
        return error_set(err, ERROR_DISK_UNSUPPORTED, "Disk %s of %s can't be backed up: %s", disk->name,
                         question->vm->name, disk->reason);
    }
    if (disk->size != from->size) {
        return error_set(err, ERROR_SEED_REFUSED,
                         "Disk %s of %s has %llu bytes, disk %s of recovery point %s has %llu", disk->name,
                         question->vm->name, (unsigned long long)disk->size, from->name, question->point->id,
                         (unsigned long long)from->size);
    }
    question->matches[question->match_count++] = (struct match){disk, from};
    return 0;
}

static const struct catalog_vm_disk *find_disk(const struct question *question, const char *name)
{
    for (size_t i = 0; i < question->disk_count; i++) {
        if (strcmp(question->disks[i].name, name) == 0) {
            return &question->disks[i];
        }
    }
    return NULL;
}

static int match_named(struct question *question, const struct seed_disk *names, size_t count,
                       struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct catalog_vm_disk *disk = find_disk(question, names[i].disk);
        const struct point_disk *from = point_find_disk(question->point, names[i].from);
        if (disk == NULL) {
            return error_set(err, ERROR_DISK_NOT_FOUND, "%s has no disk %.64s", question->vm->name,
                             names[i].disk);
        }
        if (from == NULL) {
            return error_set(err, ERROR_DISK_NOT_FOUND, "Recovery point %s has no disk %.64s",
                             question->point->id, names[i].from);
        }
        if (add_match(question, disk, from, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Nobody said which is which. */
static int match_all(struct question *question, struct error *err)
{
    const struct point *point = question->point;
    bool single = question->disk_count == 1 && point->disk_count == 1;
    for (size_t i = 0; i < question->disk_count; i++) {
        const struct catalog_vm_disk *disk = &question->disks[i];
        const struct point_disk *from = single ? &point->disks[0] : point_find_disk(point, disk->name);
        if (!disk->supported) {
            continue;
        }
        if (from == NULL) {
            return error_set(err, ERROR_DISK_NOT_FOUND,
                             "Recovery point %s has no disk %s: say which of its disks is which of %s",
                             point->id, disk->name, question->vm->name);
        }
        if (add_match(question, disk, from, err) != 0) {
            return -1;
        }
    }
    return question->match_count > 0 ? 0
                                     : error_set(err, ERROR_DISK_UNSUPPORTED,
                                                 "%s has no disk that can be backed up", question->vm->name);
}

static int save(struct store *store, struct store_writer *writer, const struct question *question,
                struct error *err)
{
    int result = 0;
    for (size_t i = 0; i < question->match_count && result == 0; i++) {
        const struct match *match = &question->matches[i];
        result = store_writer_pin(writer, &match->from->root, err);
        if (result == 0) {
            result = partial_save_seed(store, question->vm->id, match->from, match->disk->name,
                                       question->point->id, err);
        }
    }
    return result;
}

/* With question->vm and ->point filled in. */
static int match_and_save(struct server *server, struct store_writer *writer, struct question *question,
                          const struct seed_disk *disks, size_t count, struct error *err)
{
    struct arena *arena = arena_create();
    int result = catalog_vm_disk_list(server_catalog(server), arena, question->vm->id, &question->disks,
                                      &question->disk_count, err);
    if (result == 0) {
        size_t room = count > question->disk_count ? count : question->disk_count;
        question->matches = arena_alloc(arena, (room + 1) * sizeof *question->matches);
        result = count > 0 ? match_named(question, disks, count, err) : match_all(question, err);
    }
    if (result == 0) {
        result = save(server_store(server), writer, question, err);
    }
    arena_destroy(arena);
    return result;
}

int seed_vm(struct server *server, const struct catalog_vm *vm, const char *point_id,
            const struct seed_disk *disks, size_t count, struct error *err)
{
    struct store *store = server_store(server);
    if (check_vm(server, vm, err) != 0) {
        return -1;
    }
    /* Before the point is read: it may be deleted, and its chunks collected, while this runs. */
    struct store_writer *writer = store_writer_begin(store);
    struct point *point = point_read(store, point_id, err);
    struct question question = {.vm = vm, .point = point};
    int result = point != NULL ? match_and_save(server, writer, &question, disks, count, err) : -1;
    store_writer_end(writer);
    point_destroy(point);
    if (result == 0) {
        log_event(LOG_INFO, "VM seeded", "vm=\"%s\" id=%s point=%s disks=%zu", vm->name, vm->id, point_id,
                  question.match_count);
    }
    return result;
}

int seed_forget(struct server *server, const struct catalog_vm *vm, struct error *err)
{
    if (jobs_use_vm(server_jobs(server), vm->id)) {
        return error_set(err, ERROR_JOB_CONFLICT, "A job of %s is running", vm->name);
    }
    if (partial_remove(server_store(server), vm->id, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "seed forgotten", "vm=\"%s\" id=%s", vm->name, vm->id);
    return 0;
}
