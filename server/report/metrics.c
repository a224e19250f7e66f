/* GET /metrics: the Prometheus text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/os_usage.h"
#include "base/version.h"
#include "server/alerts/alerts.h"
#include "server/api/api_internal.h"
#include "server/catalog/catalog_alerts.h"
#include "server/catalog/catalog_counts.h"
#include "server/protection/scheduler.h"
#include "server/report/api_statistics.h"
#include "server/report/report.h"
#include <inttypes.h>
#include <string.h>

enum { METRICS_MAX = 64 * 1024 * 1024, SECOND_MS = 1000 };

static void add_head(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* name{ or a comma, then label="value", escaped. */
static void add_label(struct buffer *out, bool first, const char *label, const char *value)
{
    buffer_append_format(out, "%s%s=\"", first ? "{" : ",", label);
    for (const char *at = value; *at != '\0'; at++) {
        const char *escaped = *at == '\\' ? "\\\\" : *at == '"' ? "\\\"" : *at == '\n' ? "\\n" : NULL;
        if (escaped != NULL) {
            buffer_append_text(out, escaped);
        } else {
            buffer_append(out, at, 1);
        }
    }
    buffer_append_text(out, "\"");
}

static void add_gauge(struct buffer *out, const char *name, const char *help, double value)
{
    add_head(out, name, "gauge", help);
    buffer_append_format(out, "%s %.15g\n", name, value);
}

/* --- jobs and hosts */

struct job_metric {
    const char *name;
    const char *help;
    size_t offset; /* of the number in struct catalog_job_total */
    double scale;
};

static const struct job_metric job_metrics[] = {
    {"holdfast_jobs", "Jobs that the server remembers, by type and state.",
     offsetof(struct catalog_job_total, count), 1},
    {"holdfast_jobs_duration_seconds", "Time that remembered jobs took.",
     offsetof(struct catalog_job_total, duration_ms), 1.0 / SECOND_MS},
    {"holdfast_jobs_processed_bytes", "Bytes that remembered jobs processed.",
     offsetof(struct catalog_job_total, done_bytes), 1},
    {"holdfast_jobs_sent_bytes", "Bytes that remembered jobs sent over the network.",
     offsetof(struct catalog_job_total, sent_bytes), 1},
    {"holdfast_jobs_stored_bytes", "Bytes that remembered jobs added to the store.",
     offsetof(struct catalog_job_total, stored_bytes), 1},
};

static int add_jobs(struct api_call *call, struct buffer *out, struct error *err)
{
    const struct catalog_job_total *totals;
    size_t count;
    if (catalog_job_totals(server_catalog(call->server), call->arena, &totals, &count, err) != 0) {
        return -1;
    }
    for (size_t m = 0; m < sizeof job_metrics / sizeof *job_metrics; m++) {
        add_head(out, job_metrics[m].name, "gauge", job_metrics[m].help);
        for (size_t i = 0; i < count; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&totals[i] + job_metrics[m].offset, sizeof value);
            buffer_append_text(out, job_metrics[m].name);
            add_label(out, true, "type", totals[i].type);
            add_label(out, false, "state", totals[i].state);
            buffer_append_format(out, "} %.15g\n", (double)value * job_metrics[m].scale);
        }
    }
    return 0;
}

static int add_hosts(struct api_call *call, struct buffer *out, struct error *err)
{
    int64_t counts[CATALOG_HOST_STATES];
    if (catalog_count_hosts(server_catalog(call->server), NULL, counts, err) != 0) {
        return -1;
    }
    add_head(out, "holdfast_hosts", "gauge", "Hosts by state.");
    for (int state = 0; state < CATALOG_HOST_STATES; state++) {
        buffer_append_text(out, "holdfast_hosts");
        add_label(out, true, "state", host_state_name((enum host_state)state));
        buffer_append_format(out, "} %" PRId64 "\n", counts[state]);
    }
    return 0;
}

static int add_alerts(struct api_call *call, struct buffer *out, struct error *err)
{
    struct catalog_alert_counts counts;
    if (catalog_alert_count(server_catalog(call->server), NULL, &counts, err) != 0) {
        return -1;
    }
    add_head(out, "holdfast_alerts_open", "gauge", "Alerts whose cause is not gone, by severity.");
    for (int severity = 0; severity < ALERT_SEVERITY_COUNT; severity++) {
        buffer_append_text(out, "holdfast_alerts_open");
        add_label(out, true, "severity", alert_severity_name((enum alert_severity)severity));
        buffer_append_format(out, "} %" PRIu64 "\n", counts.open[severity]);
    }
    return 0;
}

/* --- VMs */

struct vm_sample {
    const struct catalog_vm_report_row *vm;
    enum rpo_state rpo;
    int64_t allowed_ms;
    int64_t now_ms;
};

static bool vm_last(const struct vm_sample *sample, double *value)
{
    *value = (double)sample->vm->last_point_ms / SECOND_MS;
    return sample->vm->last_point_ms > 0;
}

static bool vm_age(const struct vm_sample *sample, double *value)
{
    *value = (double)(sample->now_ms - sample->vm->last_point_ms) / SECOND_MS;
    return sample->vm->last_point_ms > 0;
}

static bool vm_allowed(const struct vm_sample *sample, double *value)
{
    *value = (double)sample->allowed_ms / SECOND_MS;
    return sample->allowed_ms > 0;
}

static bool vm_missed(const struct vm_sample *sample, double *value)
{
    *value = sample->rpo == RPO_MISSED;
    return sample->rpo != RPO_NONE;
}

static bool vm_points(const struct vm_sample *sample, double *value)
{
    *value = (double)sample->vm->points;
    return true;
}

static const struct vm_metric {
    const char *name;
    const char *help;
    bool (*value)(const struct vm_sample *sample, double *value); /* false: this VM has none */
} vm_metrics[] = {
    {"holdfast_vm_last_success_timestamp_seconds", "Time of the VM's newest recovery point.", vm_last},
    {"holdfast_vm_rpo_age_seconds", "Age of the VM's newest recovery point.", vm_age},
    {"holdfast_vm_rpo_allowed_seconds", "How old it may become until the next one counts as missed.",
     vm_allowed},
    {"holdfast_vm_rpo_missed", "1 when it is older, or missing.", vm_missed},
    {"holdfast_vm_recovery_points", "Recovery points of the VM.", vm_points},
};

/* One query, read once; its rows are gone through for each metric, as the format wants a metric's lines
 * together. */
static int add_vms(struct api_call *call, struct buffer *out, struct error *err)
{
    struct vm_sample *samples = NULL;
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    struct rpo_rules *rules;
    size_t sample_count = 0;
    size_t count;
    int64_t now_ms = clock_wall_ms();
    rules = rpo_rules_read(server_catalog(call->server), alerts_rpo_grace_ms(server_alerts(call->server)),
                           now_ms, err);
    if (rules == NULL) {
        return -1;
    }
    do {
        const struct catalog_vm_report_row *vms;
        if (catalog_vm_report_list(server_catalog(call->server), call->arena, NULL, INT64_MAX, INT64_MAX,
                                   &page, &vms, &count, err) != 0) {
            rpo_rules_free(rules);
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            samples = arena_grow(call->arena, samples, sample_count, sizeof *samples);
            struct vm_sample *sample = &samples[sample_count++];
            *sample = (struct vm_sample){.vm = &vms[i], .now_ms = now_ms};
            struct rpo_subject subject = report_subject(&vms[i]);
            sample->rpo = rpo_judge(rules, &subject);
            sample->allowed_ms = rpo_allowed_ms(rules, &subject);
            page.after = vms[i].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    rpo_rules_free(rules);
    for (size_t m = 0; m < sizeof vm_metrics / sizeof *vm_metrics; m++) {
        add_head(out, vm_metrics[m].name, "gauge", vm_metrics[m].help);
        for (size_t i = 0; i < sample_count; i++) {
            double value;
            if (vm_metrics[m].value(&samples[i], &value)) {
                buffer_append_text(out, vm_metrics[m].name);
                add_label(out, true, "vm", samples[i].vm->name);
                add_label(out, false, "host", samples[i].vm->host_name);
                add_label(out, false, "id", samples[i].vm->id);
                buffer_append_format(out, "} %.15g\n", value);
            }
        }
    }
    return 0;
}

/* --- store, API, process */

static int add_store(struct api_call *call, struct buffer *out, struct error *err)
{
    struct capacity_status status;
    if (capacity_read(server_capacity(call->server), &status, err) != 0) {
        return -1;
    }
    const struct store_status *store = &status.store;
    const struct {
        const char *name;
        const char *help;
        double value;
    } gauges[] = {
        {"holdfast_store_stored_bytes", "Bytes of the store's containers.", (double)store->container_bytes},
        {"holdfast_store_chunk_bytes", "Bytes of its distinct chunks before compression.",
         (double)store->chunk_bytes},
        {"holdfast_store_chunks", "Distinct chunks.", (double)store->chunks},
        {"holdfast_store_damaged_chunks", "Damaged chunks that are not healed yet.",
         (double)store->damaged_chunks},
        {"holdfast_store_recovery_points", "Recovery points in the store.", (double)store->points},
        {"holdfast_store_index_bytes", "Bytes of its index.", (double)store->index_bytes},
        {"holdfast_store_free_bytes", "Free bytes on its disk.", (double)store->free_bytes},
        {"holdfast_store_total_bytes", "Size of its disk.", (double)store->total_bytes},
        {"holdfast_store_capacity_state", "0 ok, 1 warning, 2 critical, 3 full.", (double)status.state},
        {"holdfast_store_growth_bytes_per_day", "Growth over the last 30 days; 0 when not known.",
         (double)status.forecast.bytes_per_day},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++) {
        add_gauge(out, gauges[i].name, gauges[i].help, gauges[i].value);
    }
    return 0;
}

static void add_requests(const struct api_statistics *statistics, struct buffer *out)
{
    static const char requests[] = "holdfast_api_requests_total";
    static const char duration[] = "holdfast_api_request_duration_seconds";
    uint64_t sum = 0;
    add_head(out, requests, "counter", "Requests answered, by HTTP status.");
    for (int status = 0; status < API_STATISTICS_STATUS_MAX; status++) {
        uint64_t count = api_statistics_answers(statistics, status);
        if (count > 0) {
            buffer_append_format(out, "%s{code=\"%d\"} %" PRIu64 "\n", requests, status, count);
        }
    }
    add_head(out, duration, "histogram", "Time from a request to its answer.");
    for (size_t i = 0; i < API_STATISTICS_BUCKETS; i++) {
        sum += api_statistics_bucket(statistics, i);
        if (api_statistics_bounds[i] > 0) {
            buffer_append_format(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", duration,
                                 api_statistics_bounds[i], sum);
        }
    }
    buffer_append_format(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n",
                         duration, sum, duration, (double)api_statistics_microseconds(statistics) / 1e6,
                         duration, sum);
}

static void add_process(const struct scheduler *scheduler, struct buffer *out)
{
    struct os_usage usage = os_usage_read();
    add_gauge(out, "holdfast_scheduler_looked_timestamp_seconds",
              "Time of the last look for backups that are due; it looks once a second.",
              (double)scheduler_looked_ms(scheduler) / 1e3);
    add_gauge(out, "process_resident_memory_bytes", "Memory that the server holds.",
              (double)usage.resident_bytes);
    add_gauge(out, "process_open_fds", "Files and connections that it has open.", (double)usage.open_files);
    add_head(out, "process_cpu_seconds_total", "counter", "Time that it computed.");
    buffer_append_format(out, "process_cpu_seconds_total %.2f\n", (double)usage.cpu_us / 1e6);
    add_head(out, "holdfast_build_info", "gauge", "Always 1.");
    buffer_append_text(out, "holdfast_build_info");
    add_label(out, true, "version", HOLDFAST_VERSION);
    buffer_append_text(out, "} 1\n");
}

int api_metrics(struct api_call *call, struct error *err)
{
    struct buffer out;
    buffer_init(&out, METRICS_MAX);
    int result = add_jobs(call, &out, err) != 0 || add_hosts(call, &out, err) != 0 ||
                         add_alerts(call, &out, err) != 0 || add_vms(call, &out, err) != 0 ||
                         add_store(call, &out, err) != 0
                     ? -1
                     : 0;
    if (result == 0) {
        add_requests(call->statistics, &out);
        add_process(server_scheduler(call->server), &out);
        call->text = memory_copy_text(buffer_text(&out));
        call->content_type = "text/plain; version=0.0.4; charset=utf-8";
    }
    buffer_free(&out);
    return result;
}
