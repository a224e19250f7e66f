#include "server/report/dashboard.h"

#include "base/clock.h"
#include "server/alerts/alerts.h"
#include "server/api/api_internal.h"
#include "server/catalog/catalog_report.h"
#include "server/protection/standing.h"

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
    int64_t oldest_ms;
    struct capacity_status capacity;
    struct standing_counts counts;
    struct rpo_rules *rules =
        rpo_rules_read(catalog, alerts_rpo_grace_ms(server_alerts(server)), clock_wall_ms(), err);
    int result = rules == NULL || standing_count(catalog, rules, user_id, &counts, err) != 0 ||
                         catalog_point_oldest(catalog, user_id, &oldest_ms, err) != 0 ||
                         capacity_read(server_capacity(server), &capacity, err) != 0
                     ? -1
                     : 0;
    rpo_rules_free(rules);
    if (result != 0) {
        return -1;
    }
    json_object_set_new(status, "vms", standing_vms_json(&counts));
    json_object_set_new(status, "rpo", standing_rpo_json(&counts));
    json_object_set_new(status, "oldest_point", api_time(oldest_ms));
    json_object_set_new(status, "capacity",
                        user_id == NULL ? dashboard_capacity_json(&capacity) : json_null());
    return 0;
}
