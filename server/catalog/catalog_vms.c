#include "server/catalog/catalog.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/catalog/catalog_statement.h"
#include <string.h>

static void vm_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_vm *vm = into;
    vm->number = statement_integer(row);
    vm->id = statement_text(row, arena);
    vm->host_id = statement_text(row, arena);
    vm->host_name = statement_text(row, arena);
    vm->uuid = statement_text(row, arena);
    vm->kind = statement_text(row, arena);
    vm->name = statement_text(row, arena);
    vm->power = statement_text(row, arena);
    vm->guest_agent = statement_text(row, arena);
    vm->tracking = statement_text(row, arena);
    vm->memory_mib = statement_unsigned(row);
    vm->cpus = statement_unsigned(row);
    vm->present = statement_boolean(row);
    vm->vanished_ms = statement_integer(row);
    vm->moved_away = statement_boolean(row);
    vm->size = statement_size(row);
    vm->disk_count = statement_unsigned(row);
    vm->group_id = statement_text(row, arena);
    vm->group_name = statement_text(row, arena);
    vm->point_count = statement_size(row);
    vm->last_point_id = statement_text(row, arena);
    vm->last_point_ms = statement_integer(row);
    vm->group_stopped = statement_boolean(row);
    vm->last_backup = statement_text(row, arena);
}

static int vm_write(struct catalog *catalog, enum sql_query query, const struct catalog_vm *vm,
                    struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, vm->id);
    statement_bind_text(statement, vm->host_id);
    statement_bind_text(statement, vm->uuid);
    statement_bind_text(statement, vm->kind);
    statement_bind_text(statement, vm->name);
    statement_bind_text(statement, vm->power);
    statement_bind_text(statement, vm->guest_agent);
    statement_bind_text(statement, vm->tracking);
    statement_bind_integer(statement, vm->memory_mib);
    statement_bind_integer(statement, vm->cpus);
    statement_bind_integer(statement, vm->present);
    statement_bind_integer(statement, vm->vanished_ms);
    return statement_execute(statement, err);
}

int catalog_vm_insert(struct catalog *catalog, const struct catalog_vm *vm, struct error *err)
{
    return vm_write(catalog, SQL_VM_INSERT, vm, err);
}

static int vm_run_for(struct catalog *catalog, enum sql_query query, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, id);
    enum statement_outcome outcome = statement_run(statement, err);
    return outcome == STATEMENT_DONE || outcome == STATEMENT_NOTHING ? 0 : -1;
}

static int vm_write_disks(struct catalog *catalog, const char *vm_id, const struct catalog_vm_disk *disks,
                          size_t count, struct error *err)
{
    if (vm_run_for(catalog, SQL_VM_DISKS_CLEAR, vm_id, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        struct statement *statement = statement_open(catalog, SQL_VM_DISK_INSERT);
        statement_bind_text(statement, vm_id);
        statement_bind_integer(statement, (int64_t)i);
        statement_bind_text(statement, disks[i].name);
        statement_bind_text(statement, disks[i].path);
        statement_bind_text(statement, disks[i].format);
        statement_bind_size(statement, disks[i].size);
        statement_bind_integer(statement, disks[i].supported);
        statement_bind_text(statement, disks[i].reason);
        if (statement_execute(statement, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* The id of the row with that identity by one of two queries: 1 found, 0 none, -1 failure. */
static int vm_identify(struct catalog *catalog, enum sql_query query, const char *host_id,
                       const struct catalog_vm *vm, struct arena *arena, const char **id, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, host_id);
    statement_bind_text(statement, vm->kind);
    statement_bind_text(statement, vm->uuid);
    const char *known;
    if (statement_first_text(statement, arena, &known, err) != 0) {
        return -1;
    }
    *id = known != NULL ? known : *id;
    return known != NULL ? 1 : 0;
}

static int vm_report_one(struct catalog *catalog, const char *host_id, const struct catalog_vm_report *report,
                         struct arena *arena, struct error *err)
{
    struct catalog_vm vm = report->vm;
    vm.host_id = host_id;
    vm.present = true;
    vm.vanished_ms = 0;
    enum sql_query query = SQL_VM_UPDATE;
    int found = vm_identify(catalog, SQL_VM_IDENTITY, host_id, &vm, arena, &vm.id, err);
    if (found == 0) {
        found = vm_identify(catalog, SQL_VM_GONE_ELSEWHERE, host_id, &vm, arena, &vm.id, err);
        if (found > 0) {
            log_event(LOG_INFO, "VM moved", "vm=\"%s\" id=%s host=%s", vm.name, vm.id, host_id);
        }
    }
    if (found < 0) {
        return -1;
    }
    char id[IDENTITY_SIZE];
    if (found == 0) {
        identity_create(id);
        vm.id = id;
        query = SQL_VM_INSERT;
    }
    if (vm_write(catalog, query, &vm, err) != 0) {
        return -1;
    }
    return vm_write_disks(catalog, vm.id, report->disks, report->disk_count, err);
}

/* The VM arrived at its new host before it left this one, and was taken for a new one there: its history
 * follows. */
static int vm_merge(struct catalog *catalog, const char *old_id, const char *new_id, struct arena *arena,
                    struct error *err)
{
    const struct catalog_vm *there = catalog_vm_find(catalog, arena, new_id, err);
    const struct catalog_vm_disk *disks = NULL;
    size_t disk_count = 0;
    if (there == NULL || catalog_vm_disk_list(catalog, arena, new_id, &disks, &disk_count, err) != 0) {
        return -1;
    }
    struct catalog_vm merged = *there;
    merged.id = old_id;
    log_event(LOG_INFO, "VM moved", "vm=\"%s\" id=%s host=%s", merged.name, old_id, merged.host_id);
    if (vm_run_for(catalog, SQL_VM_DELETE, new_id, err) != 0 ||
        vm_write(catalog, SQL_VM_UPDATE, &merged, err) != 0) {
        return -1;
    }
    return vm_write_disks(catalog, old_id, disks, disk_count, err);
}

struct vm_move {
    const char *old_id;
    const char *new_id;
};

static void move_read(struct statement *row, struct arena *arena, void *into)
{
    struct vm_move *move = into;
    move->old_id = statement_text(row, arena);
    move->new_id = statement_text(row, arena);
}

/* list: one of two queries, of old and new ids. */
static int vm_merge_moved(struct catalog *catalog, enum sql_query list, const char *host_id,
                          struct arena *arena, struct error *err)
{
    struct statement *statement = statement_open(catalog, list);
    statement_bind_text(statement, host_id);
    const struct vm_move *moves;
    size_t count;
    int more = statement_rows(statement, arena, move_read, sizeof *moves, &moves, &count, err);
    for (size_t i = 0; i < count && more == 0; i++) {
        more = vm_merge(catalog, moves[i].old_id, moves[i].new_id, arena, err);
    }
    return more;
}

static int vm_report_begin(struct catalog *catalog, const char *host_id, const char *silent_kinds,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_VM_REPORT_BEGIN);
    statement_bind_text(statement, host_id);
    statement_bind_text(statement, silent_kinds);
    return statement_execute(statement, err);
}

static int vm_report_end(struct catalog *catalog, const char *host_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_VM_REPORT_END);
    statement_bind_text(statement, host_id);
    statement_bind_integer(statement, clock_wall_ms());
    return statement_execute(statement, err);
}

/* After the report's end: rows of VMs that are at another host by now, or here again, are not this host's to
 * mark. */
static int vm_report_moved(struct catalog *catalog, const char *host_id, const struct catalog_vm *vm,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_VM_MOVED_AWAY);
    statement_bind_text(statement, host_id);
    statement_bind_text(statement, vm->kind);
    statement_bind_text(statement, vm->uuid);
    return statement_execute(statement, err);
}

int catalog_vm_report(struct catalog *catalog, const char *host_id, const struct catalog_vm_report *vms,
                      size_t count, const char *silent_kinds, struct error *err)
{
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    struct arena *arena = arena_create();
    int result = vm_report_begin(catalog, host_id, silent_kinds, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        if (!vms[i].vm.moved_away) {
            result = vm_report_one(catalog, host_id, &vms[i], arena, err);
        }
    }
    if (result == 0) {
        result = vm_report_end(catalog, host_id, err);
    }
    if (result == 0) {
        result = vm_merge_moved(catalog, SQL_VM_MOVED_LIST, host_id, arena, err);
    }
    if (result == 0) {
        result = vm_merge_moved(catalog, SQL_VM_TAKEN_OVER_LIST, host_id, arena, err);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        if (vms[i].vm.moved_away) {
            result = vm_report_moved(catalog, host_id, &vms[i].vm, err);
        }
    }
    arena_destroy(arena);
    return catalog_end(catalog, result, err);
}

/* The rows of a query with one or two text parameters. */
static int vm_candidates(struct catalog *catalog, struct arena *arena, enum sql_query query,
                         const char *first, const char *second, const struct catalog_vm **candidates,
                         size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, first);
    if (second != NULL) {
        statement_bind_text(statement, second);
    }
    return statement_rows(statement, arena, vm_read, sizeof **candidates, candidates, count, err);
}

const struct catalog_vm *catalog_vm_find(struct catalog *catalog, struct arena *arena, const char *reference,
                                         struct error *err)
{
    const struct catalog_vm *candidates;
    size_t count;
    int result = vm_candidates(catalog, arena, SQL_VM_BY_ID, reference, NULL, &candidates, &count, err);
    if (result == 0 && count == 0) {
        result = vm_candidates(catalog, arena, SQL_VM_BY_NAME, reference, NULL, &candidates, &count, err);
    }
    const char *slash = strchr(reference, '/');
    if (result == 0 && count == 0 && slash != NULL) {
        const char *host = arena_format(arena, "%.*s", (int)(slash - reference), reference);
        result =
            vm_candidates(catalog, arena, SQL_VM_BY_HOST_AND_NAME, host, slash + 1, &candidates, &count, err);
    }
    if (result != 0) {
        return NULL;
    }
    if (count == 0) {
        error_set(err, ERROR_VM_NOT_FOUND, "There is no VM %s", reference);
        return NULL;
    }
    /* Those that are present come first. */
    if (count > 1 && candidates[0].present == candidates[1].present) {
        error_set(err, ERROR_VM_AMBIGUOUS, "More than one VM is called %s: %s/%s (%s) and %s/%s (%s)",
                  reference, candidates[0].host_name, candidates[0].name, candidates[0].id,
                  candidates[1].host_name, candidates[1].name, candidates[1].id);
        return NULL;
    }
    return &candidates[0];
}

int catalog_vm_check_present(const struct catalog_vm *vm, struct error *err)
{
    if (vm->moved_away) {
        return error_set(
            err, ERROR_VM_MOVED_AWAY,
            "VM %s was moved away from host %s, to one that has no connected agent of this server", vm->name,
            vm->host_name);
    }
    return vm->present ? 0
                       : error_set(err, ERROR_VM_NOT_FOUND,
                                   "VM %s no longer exists on %s, and no other host reports it", vm->name,
                                   vm->host_name);
}

int catalog_vm_list(struct catalog *catalog, struct arena *arena, const struct catalog_vm_filter *filter,
                    const struct catalog_page *page, const struct catalog_vm **vms, size_t *count,
                    struct error *err)
{
    static const struct catalog_vm_filter any = {0};
    const struct catalog_vm_filter *by = filter != NULL ? filter : &any;
    struct statement *statement = statement_open(catalog, by->group_id != NULL  ? SQL_VM_LIST_OF_GROUP
                                                          : by->host_id != NULL ? SQL_VM_LIST_OF_HOST
                                                                                : SQL_VM_LIST);
    statement_bind_page(statement, page);
    statement_bind_optional(statement, by->search);
    if (by->host_id != NULL || by->group_id != NULL) {
        statement_bind_optional(statement, by->host_id);
    }
    if (by->group_id != NULL) {
        statement_bind_text(statement, by->group_id);
    }
    return statement_rows(statement, arena, vm_read, sizeof **vms, vms, count, err);
}

static void vm_disk_read(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_vm_disk *disk = into;
    disk->name = statement_text(statement, arena);
    disk->path = statement_text(statement, arena);
    disk->format = statement_text(statement, arena);
    disk->size = statement_size(statement);
    disk->supported = statement_boolean(statement);
    disk->reason = statement_text(statement, arena);
}

int catalog_vm_disk_list(struct catalog *catalog, struct arena *arena, const char *vm_id,
                         const struct catalog_vm_disk **disks, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_VM_DISK_LIST);
    statement_bind_text(statement, vm_id);
    return statement_rows(statement, arena, vm_disk_read, sizeof **disks, disks, count, err);
}
