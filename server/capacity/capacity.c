#include "server/capacity/capacity.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "server/capacity/reserve.h"
#include "server/catalog/catalog_report.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { LOOK_MS = 60000, STORE_DAYS_KEPT = 400, VM_DAYS_KEPT = 100 };

struct capacity {
    struct reserve *data;  /* on the disk of the catalog */
    struct reserve *other; /* of the store, when it has a disk of its own; or NULL */
    struct store *store;
    struct catalog *catalog;
    char *data_directory;
    uint64_t reserve_bytes; /* 0 with reserve_default: by the size of the disk */
    bool reserve_default;
    unsigned warning_percent;
    unsigned critical_percent;
    unsigned warning_days;
    pthread_mutex_t lock; /* guards what follows */
    int64_t looked_ms;    /* monotonic */
    int64_t sampled_day;
    enum capacity_state state; /* that was logged last */
};

static int read_config(struct capacity *capacity, const struct config *config, struct error *err)
{
    int64_t warning, critical, days;
    const char *reserve = config_text(config, "reserve-size");
    if (config_integer(config, "capacity-warning-percent", 1, 100, &warning, err) != 0 ||
        config_integer(config, "capacity-critical-percent", 1, 100, &critical, err) != 0 ||
        config_integer(config, "capacity-warning-days", 0, 3650, &days, err) != 0 ||
        (reserve != NULL && config_size(config, "reserve-size", &capacity->reserve_bytes, err) != 0)) {
        return -1;
    }
    capacity->reserve_default = reserve == NULL;
    capacity->warning_percent = (unsigned)warning;
    capacity->critical_percent = (unsigned)critical;
    capacity->warning_days = (unsigned)days;
    return 0;
}

static struct reserve *open_reserve(struct capacity *capacity, const char *directory, struct error *err)
{
    uint64_t total;
    if (os_path_space(directory, NULL, &total, err) != 0) {
        return NULL;
    }
    return reserve_open(directory,
                        capacity->reserve_default ? reserve_default(total) : capacity->reserve_bytes, err);
}

struct capacity *capacity_open(const char *data_directory, const struct config *config, struct error *err)
{
    struct capacity *capacity = memory_zalloc(sizeof *capacity);
    pthread_mutex_init(&capacity->lock, NULL);
    capacity->data_directory = memory_copy_text(data_directory);
    if (read_config(capacity, config, err) != 0 ||
        (capacity->data = open_reserve(capacity, data_directory, err)) == NULL) {
        capacity_close(capacity);
        return NULL;
    }
    return capacity;
}

int capacity_watch(struct capacity *capacity, struct store *store, struct catalog *catalog, struct error *err)
{
    struct stat data;
    struct stat other;
    capacity->store = store;
    capacity->catalog = catalog;
    if (stat(capacity->data_directory, &data) == 0 && stat(store_directory(store), &other) == 0 &&
        data.st_dev != other.st_dev) {
        capacity->other = open_reserve(capacity, store_directory(store), err);
        return capacity->other != NULL ? 0 : -1;
    }
    return 0;
}

void capacity_close(struct capacity *capacity)
{
    if (capacity != NULL) {
        reserve_close(capacity->data);
        reserve_close(capacity->other);
        pthread_mutex_destroy(&capacity->lock);
        free(capacity->data_directory);
        free(capacity);
    }
}

bool capacity_make_room(struct capacity *capacity)
{
    return reserve_release(capacity->data);
}

/* The reserve of the disk that the store is on. */
static struct reserve *store_reserve(struct capacity *capacity)
{
    return capacity->other != NULL ? capacity->other : capacity->data;
}

void capacity_prepare_collection(struct capacity *capacity)
{
    struct error ignored; /* then there is room, or the collection says what is wrong */
    if (store_check_room(capacity->store, &ignored) != 0) {
        reserve_release(store_reserve(capacity));
    }
}

static void look_at_reserves(struct capacity *capacity)
{
    reserve_look(capacity->data);
    if (capacity->other != NULL) {
        reserve_look(capacity->other);
    }
}

int capacity_check_room(struct capacity *capacity, struct error *err)
{
    if (!reserve_is_held(capacity->data) || !reserve_is_held(store_reserve(capacity))) {
        look_at_reserves(capacity); /* there may be room again */
    }
    if (!reserve_is_held(capacity->data) || !reserve_is_held(store_reserve(capacity))) {
        return error_set(
            err, ERROR_STORE_FULL,
            "Store %s takes no backup: its disk, or the catalog's, is full and lives on its reserve",
            store_directory(capacity->store));
    }
    return store_check_room(capacity->store, err);
}

/* --- state and forecast */

const char *capacity_state_name(enum capacity_state state)
{
    static const char *const names[] = {"ok", "warning", "critical", "full"};
    return names[state];
}

static int make_forecast(struct capacity *capacity, struct capacity_status *status, struct error *err)
{
    const struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    const struct catalog_store_sample *rows;
    struct forecast_sample samples[FORECAST_DAYS + 1];
    size_t count;
    struct arena *arena = arena_create();
    int64_t today = clock_wall_ms() / CATALOG_DAY_MS;
    int result = catalog_store_sample_list(capacity->catalog, arena, today - FORECAST_DAYS, today, &page,
                                           &rows, &count, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        samples[i] = (struct forecast_sample){rows[i].day, rows[i].stored_bytes};
    }
    arena_destroy(arena);
    if (result != 0) {
        return -1;
    }
    forecast_make(samples, count, status->store.free_bytes, &status->forecast);
    if (status->forecast.kind == FORECAST_GROWS) {
        status->full_ms = clock_wall_ms() + status->forecast.days_left * CATALOG_DAY_MS;
    }
    return 0;
}

static void judge(struct capacity *capacity, struct capacity_status *status)
{
    struct error full;
    const struct forecast *forecast = &status->forecast;
    if (store_check_room(capacity->store, &full) != 0 || !status->reserve_held) {
        status->state = CAPACITY_FULL;
        snprintf(status->reason, sizeof status->reason, "no room: backups are refused until there is some");
    } else if (status->used_percent >= capacity->critical_percent) {
        status->state = CAPACITY_CRITICAL;
        snprintf(status->reason, sizeof status->reason, "%u %% of the disk are used", status->used_percent);
    } else if (forecast->kind == FORECAST_GROWS && forecast->days_left < capacity->warning_days) {
        status->state = CAPACITY_WARNING;
        snprintf(status->reason, sizeof status->reason, "full in about %lld days",
                 (long long)forecast->days_left);
    } else if (status->used_percent >= capacity->warning_percent) {
        status->state = CAPACITY_WARNING;
        snprintf(status->reason, sizeof status->reason, "%u %% of the disk are used", status->used_percent);
    }
}

int capacity_read(struct capacity *capacity, struct capacity_status *status, struct error *err)
{
    *status = (struct capacity_status){.state = CAPACITY_OK};
    if (store_status_read(capacity->store, &status->store, err) != 0) {
        return -1;
    }
    uint64_t total = status->store.total_bytes;
    uint64_t used = total > status->store.free_bytes ? total - status->store.free_bytes : 0;
    status->used_percent = total > 0 ? (unsigned)((double)used * 100 / (double)total) : 0;
    status->reserved_bytes = reserve_bytes(store_reserve(capacity));
    status->reserve_held = reserve_is_held(capacity->data) && reserve_is_held(store_reserve(capacity));
    if (make_forecast(capacity, status, err) != 0) {
        return -1;
    }
    judge(capacity, status);
    return 0;
}

/* --- now and then */

static int take_sample(struct capacity *capacity, const struct store_status *store, int64_t day,
                       struct error *err)
{
    struct catalog_store_sample sample = {.day = day,
                                          .time_ms = clock_wall_ms(),
                                          .stored_bytes = store->container_bytes,
                                          .chunk_bytes = store->chunk_bytes,
                                          .free_bytes = store->free_bytes,
                                          .total_bytes = store->total_bytes,
                                          .points = store->points};
    return catalog_sample_put(capacity->catalog, &sample, err) != 0 ||
                   catalog_sample_prune(capacity->catalog, day - STORE_DAYS_KEPT, day - VM_DAYS_KEPT, err) !=
                       0
               ? -1
               : 0;
}

/* A state is told of once, when it begins. */
static void tell(struct capacity *capacity, const struct capacity_status *status)
{
    if (status->state != capacity->state) {
        log_event(status->state == CAPACITY_OK ? LOG_INFO : LOG_WARNING, "room in the store",
                  "state=%s was=%s reason=\"%s\"", capacity_state_name(status->state),
                  capacity_state_name(capacity->state), status->reason);
        capacity->state = status->state;
    }
}

void capacity_look(struct capacity *capacity)
{
    struct error err;
    struct capacity_status status;
    int64_t day = clock_wall_ms() / CATALOG_DAY_MS;
    int64_t now_ms = clock_monotonic_ms();
    look_at_reserves(capacity);
    pthread_mutex_lock(&capacity->lock);
    if (capacity->looked_ms == 0 || now_ms - capacity->looked_ms >= LOOK_MS) {
        capacity->looked_ms = now_ms;
        if (capacity_read(capacity, &status, &err) != 0) {
            log_error("room in the store not known", &err);
        } else {
            tell(capacity, &status);
            if (capacity->sampled_day != day && take_sample(capacity, &status.store, day, &err) != 0) {
                log_error("room in the store not noted", &err);
            }
            capacity->sampled_day = day;
        }
    }
    pthread_mutex_unlock(&capacity->lock);
}

/* --- before protecting */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What points of one VM hold besides the first: each tier's points differ from their neighbours by what
 * changes between them, and by the whole disk at most. */
static uint64_t changed_bytes(const struct catalog_policy *policy, uint64_t size, uint64_t day_bytes)
{
    enum { WEEK = 7, MONTH = 30, YEAR = 365, MINUTES = 24 * 60 };
    uint64_t run_bytes = policy->schedule == SCHEDULE_INTERVAL && policy->interval_minutes < MINUTES
                             ? day_bytes * policy->interval_minutes / MINUTES
                             : day_bytes;
    return (policy->keep_days + policy->keep_daily) * least(size, day_bytes) +
           policy->keep_latest * least(size, run_bytes) +
           policy->keep_weekly * least(size, WEEK * day_bytes) +
           policy->keep_monthly * least(size, MONTH * day_bytes) +
           policy->keep_yearly * least(size, YEAR * day_bytes);
}

int capacity_expect(struct capacity *capacity, const char *const *vm_ids, size_t count,
                    const struct catalog_policy *policy, uint64_t *need_bytes, uint64_t *free_bytes,
                    struct error *err)
{
    enum { CHANGE_PART = 20 };
    struct store_status store;
    if (store_status_read(capacity->store, &store, err) != 0) {
        return -1;
    }
    struct arena *arena = arena_create();
    double plain = 0;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        const struct catalog_vm *vm = catalog_vm_find(capacity->catalog, arena, vm_ids[i], err);
        if (vm == NULL) {
            result = -1;
        } else {
            plain += (double)vm->size + (double)changed_bytes(policy, vm->size, vm->size / CHANGE_PART);
        }
    }
    arena_destroy(arena);
    double packed = store.chunk_bytes > 0 ? (double)store.container_bytes / (double)store.chunk_bytes : 1;
    *need_bytes = (uint64_t)(plain * (packed < 1 ? packed : 1));
    *free_bytes = store.free_bytes;
    return result;
}
