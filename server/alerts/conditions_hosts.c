/* Hosts that are away or old, and certificates that end soon. */
#include "server/alerts/conditions.h"

#include "base/clock.h"
#include "base/os_file.h"
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Agents renew theirs 30 days before its end, every hour: after a week of trying something is wrong. */
enum { HOST_CERTIFICATE_DAYS = 23, SERVER_CERTIFICATE_DAYS = 60, DAY_S = 86400 };

static const char *time_text(struct arena *arena, int64_t ms)
{
    enum { TO_MINUTES = 16 }; /* of 2026-01-31T10:00:00.000Z */
    char text[CLOCK_TEXT_SIZE];
    return arena_format(arena, "%.*s UTC", TO_MINUTES, clock_format_wall(ms, text));
}

static void add_host(struct conditions *conditions, const struct catalog_host *host, enum error_code code,
                     enum alert_severity severity, const char *message)
{
    struct catalog_alert alert = {.code = code,
                                  .severity = severity,
                                  .object_kind = "host",
                                  .object_id = host->id,
                                  .object_name = host->name,
                                  .message = message};
    conditions_add(conditions, &alert);
}

static void judge_host(const struct conditions_options *options, const struct catalog_host *host,
                       struct conditions *conditions)
{
    struct arena *arena = conditions->arena;
    int64_t left_ms = host->certificate_expires_ms - options->now_ms;
    int64_t away_ms = options->now_ms - (host->state_since_ms > options->started_ms ? host->state_since_ms
                                                                                    : options->started_ms);
    if (host->state == HOST_UNREACHABLE && away_ms >= options->host_away_ms) {
        add_host(conditions, host, ERROR_HOST_UNREACHABLE, ALERT_CRITICAL,
                 arena_format(arena, "Host %s is not connected since %s", host->name,
                              time_text(arena, host->state_since_ms)));
    }
    if (host->state == HOST_OUTDATED) {
        add_host(conditions, host, ERROR_HOST_OUTDATED, ALERT_WARNING,
                 arena_format(arena, "The agent of host %s (%s) is older than this server", host->name,
                              host->software));
    }
    if (host->certificate_expires_ms > 0 && left_ms < (int64_t)HOST_CERTIFICATE_DAYS * DAY_S * 1000) {
        add_host(conditions, host, ERROR_CERTIFICATE_EXPIRING, left_ms <= 0 ? ALERT_CRITICAL : ALERT_WARNING,
                 arena_format(arena, "The certificate of host %s ends at %s", host->name,
                              time_text(arena, host->certificate_expires_ms)));
    }
}

int conditions_of_hosts(const struct conditions_options *options, struct conditions *conditions,
                        struct error *err)
{
    struct catalog_page page = {0};
    const struct catalog_host *hosts;
    size_t count;
    do {
        if (catalog_host_list(options->catalog, conditions->arena, &page, &hosts, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            page.after = hosts[i].number;
            if (hosts[i].state != HOST_RETIRED) {
                judge_host(options, &hosts[i], conditions);
            }
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

/* 0: not known; the server would not run without its certificates. */
static int64_t certificate_end_ms(const char *directory, const char *name)
{
    struct tm end;
    int64_t end_ms = 0;
    char *path = os_path_join(directory, name);
    FILE *file = fopen(path, "re");
    X509 *certificate = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (certificate != NULL && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1) {
        end_ms = (int64_t)timegm(&end) * 1000;
    }
    X509_free(certificate);
    if (file != NULL) {
        fclose(file);
    }
    free(path);
    return end_ms;
}

void conditions_of_certificates(const struct conditions_options *options, struct conditions *conditions)
{
    static const struct {
        const char *file;
        const char *what;
    } certificates[] = {{"ca.pem", "the certificate authority"}, {"server.pem", "the server"}};
    for (size_t i = 0; i < sizeof certificates / sizeof *certificates; i++) {
        int64_t end_ms = certificate_end_ms(options->data_directory, certificates[i].file);
        if (end_ms == 0 || end_ms - options->now_ms >= (int64_t)SERVER_CERTIFICATE_DAYS * DAY_S * 1000) {
            continue;
        }
        struct catalog_alert alert = {
            .code = ERROR_CERTIFICATE_EXPIRING,
            .severity = ALERT_CRITICAL,
            .object_kind = "server",
            .object_id = certificates[i].file,
            .object_name = certificates[i].file,
            .message = arena_format(conditions->arena, "The certificate of %s ends at %s",
                                    certificates[i].what, time_text(conditions->arena, end_ms))};
        conditions_add(conditions, &alert);
    }
}
