#include "server/report/dashboard.h"

#include "base/clock.h"
#include "server/api/api_internal.h"
#include "server/report/rpo.h"
#include <string.h>

enum { RPO_STATES = RPO_MISSED + 1 };

static int count_vms(struct catalog *catalog, struct arena *arena, const char *user_id,
                     json_int_t states[RPO_STATES], struct error *err)
{
    const struct catalog_vm_report_row *vms;
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    struct rpo_policies policies;
    size_t count;
    int64_t allowed_ms;
    int64_t now_ms = clock_wall_ms();
    if (rpo_policies_read(catalog, arena, &policies, err) != 0) {
        return -1;
    }
    do {
        if (catalog_vm_report_list(catalog, arena, user_id, INT64_MAX, INT64_MAX, &page, &vms, &count, err) !=
            0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            states[rpo_judge(&policies, &vms[i], now_ms, &allowed_ms)]++;
            page.after = vms[i].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

json_t *dashboard_capacity_json(const struct capacity_status *status)
{
    const struct store_status *store = &status->store;
    bool known = status->forecast.kind != FORECAST_UNKNOWN;
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:i, s:{s:I, s:b}, s:s, s:o, s:o}", "state",
                     capacity_state_name(status->state), "reason", api_text_or_null(status->reason),
                     "total_bytes", (json_int_t)store->total_bytes, "free_bytes",
                     (json_int_t)store->free_bytes, "stored_bytes", (json_int_t)store->container_bytes,
                     "chunk_bytes", (json_int_t)store->chunk_bytes, "used_percent", (int)status->used_percent,
                     "reserve", "bytes", (json_int_t)status->reserved_bytes, "held", status->reserve_held,
                     "forecast", forecast_kind_name(status->forecast.kind), "growth_bytes_per_day",
                     known ? json_integer(status->forecast.bytes_per_day) : json_null(), "full",
                     api_time(status->full_ms));
}

int dashboard_add(struct server *server, const char *user_id, json_t *status, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    struct catalog_point_totals points = {0};
    struct capacity_status capacity;
    json_int_t states[RPO_STATES] = {0};
    int result = count_vms(catalog, arena, user_id, states, err) != 0 ||
                         catalog_point_totals_read(catalog, &points, err) != 0 ||
                         capacity_read(server_capacity(server), &capacity, err) != 0
                     ? -1
                     : 0;
    arena_destroy(arena);
    if (result != 0) {
        return -1;
    }
    json_t *rpo = json_object();
    for (int state = 0; state < RPO_STATES; state++) {
        json_object_set_new(rpo, rpo_state_name((enum rpo_state)state), json_integer(states[state]));
    }
    json_object_set_new(status, "rpo", rpo);
    json_object_set_new(status, "oldest_point", api_time(points.oldest_ms));
    json_object_set_new(status, "capacity", dashboard_capacity_json(&capacity));
    return 0;
}
