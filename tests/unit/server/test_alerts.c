/* The rules of alerts: unusual changes, room, late points, header values, the digest's time; raising and
 * resolving. */
#include "catalog_fixture.h"

#include "server/alerts/alerts.h"
#include "server/alerts/anomaly.h"
#include "server/alerts/conditions.h"
#include "server/alerts/delivery.h"
#include "server/alerts/digest.h"
#include "server/protection/schedule.h"

enum { DAY_MS = 86400000, HISTORY = 12 };

static const uint64_t mib = 1 << 20;
static const uint64_t vm_bytes = (uint64_t)20 << 30;

/* Days of about 400 MiB, of which a third can't be compressed. */
static void ordinary_days(struct change_sample *history, uint64_t share_percent)
{
    for (size_t i = 0; i < HISTORY; i++) {
        uint64_t changed = (400 + 37 * (i % 5)) * mib;
        history[i] = (struct change_sample){DAY_MS, changed, changed * (share_percent + i % 3) / 100};
    }
}

static void changes_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint64_t share; /* usual, in percent */
        size_t count;
        struct change_sample newest;
        uint64_t vm;
        bool suspicious;
    } cases[] = {
        {"an ordinary day", 33, HISTORY, {DAY_MS, 500 << 20, 170 << 20}, 0, false},
        {"a busy day", 33, HISTORY, {DAY_MS, 1200 << 20, 420 << 20}, 0, false},
        {"a large update that compresses",
         33,
         HISTORY,
         {DAY_MS, (uint64_t)6 << 30, (uint64_t)2 << 30},
         0,
         false},
        {"everything encrypted", 33, HISTORY, {DAY_MS, (uint64_t)8 << 30, (uint64_t)8 << 30}, 0, true},
        {"part of it encrypted", 33, HISTORY, {DAY_MS, (uint64_t)2 << 30, (uint64_t)17 << 26}, 0, true},
        {"too little history",
         33,
         ANOMALY_HISTORY_MIN - 1,
         {DAY_MS, (uint64_t)8 << 30, (uint64_t)8 << 30},
         0,
         false},
        {"little", 33, HISTORY, {3600000, 15 << 20, 15 << 20}, 0, false},
        {"little of a large VM",
         33,
         HISTORY,
         {DAY_MS, (uint64_t)8 << 30, (uint64_t)8 << 30},
         (uint64_t)2 << 40,
         false},
        {"an ordinary day of photographs", 97, HISTORY, {DAY_MS, 700 << 20, 690 << 20}, 0, false},
        {"photographs, encrypted", 97, HISTORY, {DAY_MS, (uint64_t)6 << 30, (uint64_t)6 << 30}, 0, true},
        {"a week in one point",
         33,
         HISTORY,
         {7 * (int64_t)DAY_MS, (uint64_t)2800 << 20, 950 << 20},
         0,
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct change_sample history[HISTORY];
        struct anomaly_verdict verdict;
        ordinary_days(history, cases[i].share);
        anomaly_judge(history, cases[i].count, &cases[i].newest, cases[i].vm != 0 ? cases[i].vm : vm_bytes,
                      &verdict);
        if (verdict.suspicious != cases[i].suspicious) {
            fail_msg("%s: %s", cases[i].what, verdict.suspicious ? "suspicious" : "not suspicious");
        }
    }
}

static void idle_history_is_no_division_by_zero(void **state)
{
    (void)state;
    struct change_sample history[HISTORY] = {{0}};
    struct change_sample newest = {0};
    struct anomaly_verdict verdict;
    anomaly_judge(history, HISTORY, &newest, 0, &verdict);
    assert_false(verdict.suspicious);
}

static void headers_are_safe(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain text", "plain text"},
        {"a\r\nBcc: evil@example.org", "a  Bcc: evil@example.org"},
        {"=?UTF-8?B?ZXZpbA==?=", "=?UTF-8?B?PT9VVEYtOD9CP1pYWnBiQT09Pz0=?="},
        {"h\xc3\xa4\xc3\x9flich", "=?UTF-8?B?aMOkw59saWNo?="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = delivery_header_text(cases[i][0]);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
    /* Long, of bytes that are no UTF-8 at all: every line short, every line break folded. */
    char bytes[1000];
    memset(bytes, 0x80, sizeof bytes - 1);
    bytes[sizeof bytes - 1] = '\0';
    char *text = delivery_header_text(bytes);
    for (char *line = text; line != NULL;) {
        char *end = strstr(line, "\r\n");
        assert_in_range(end != NULL ? (size_t)(end - line) : strlen(line), 1, 76);
        line = end != NULL ? end + 2 : NULL;
        assert_true(line == NULL || *line == ' ');
    }
    free(text);
}

static void the_digest_has_its_time(void **state)
{
    (void)state;
    struct error err;
    int64_t next_ms;
    const int64_t summer_ms = 1782864000000; /* 2026-07-01T00:00:00Z */
    check(digest_next("07:00", "UTC", summer_ms, &next_ms, &err), err);
    assert_int_equal(next_ms, summer_ms + 7 * 3600000);
    check(digest_next("07:00", "Europe/Zurich", summer_ms, &next_ms, &err), err);
    assert_int_equal(next_ms, summer_ms + 5 * 3600000);
    assert_int_equal(digest_next("07:00,08:00", "UTC", summer_ms, &next_ms, &err), -1);
    assert_int_equal(digest_next("7 o'clock", "UTC", summer_ms, &next_ms, &err), -1);
    assert_int_equal(digest_next("07:00", "Mars/Base", summer_ms, &next_ms, &err), -1);
}

static void html_is_escaped(void **state)
{
    (void)state;
    json_t *digest =
        json_pack("{s:s, s:s, s:{s:[{s:s, s:s, s:s}]}}", "time", "2026-01-31T10:00:00.000Z", "server", "x",
                  "alerts", "items", "severity", "critical", "object", "<script>&\"'", "message", "m");
    char *html = digest_html(digest);
    assert_non_null(strstr(html, "&lt;script&gt;&amp;&quot;&#39;"));
    assert_null(strstr(html, "<script>"));
    free(html);
    json_decref(digest);
}

/* A backup of the VM that ended; code: in its log, at this level, or NULL. */
static void world_backup(struct catalog_world *world, const char *vm_id, enum job_state state,
                         const char *code, enum job_log_level level)
{
    struct error err;
    char *id = arena_alloc(world->arena, IDENTITY_SIZE);
    identity_create(id);
    struct catalog_job job = {.id = id,
                              .type = JOB_BACKUP,
                              .state = state,
                              .vm_id = vm_id,
                              .vm_name = "vm",
                              .requested_by = "test",
                              .error_code = state == JOB_FAILED ? ERROR_STORE_FULL : ERROR_NONE,
                              .error_message = state == JOB_FAILED ? "no room" : "",
                              .created_ms = 1,
                              .finished_ms = 2};
    struct catalog_job_log entry = {.level = level, .code = code, .message = "so it was"};
    check(catalog_job_insert(world->catalog, &job, &err), err);
    if (code != NULL) {
        check(catalog_job_log_add(world->catalog, id, &entry, &err), err);
    }
}

/* Exactly these hold: "CODE CODE ...", in the order of code. */
static void expect_conditions(struct catalog_world *world, const struct capacity_status *room, int64_t now_ms,
                              const char *const *wanted)
{
    struct error err;
    struct conditions conditions = {.arena = world->arena};
    struct conditions_options options = {.catalog = world->catalog,
                                         .room = room,
                                         .host_away_ms = 600000,
                                         .rpo_grace_ms = 3600000,
                                         .now_ms = now_ms};
    size_t count = 0;
    check(conditions_find(&options, &conditions, &err), err);
    for (; wanted[count] != NULL; count++) {
        bool found = false;
        for (size_t i = 0; i < conditions.count; i++) {
            found = found || strcmp(error_code_name(conditions.items[i].code), wanted[count]) == 0;
        }
        if (!found) {
            fail_msg("there is no %s", wanted[count]);
        }
    }
    assert_int_equal(conditions.count, count);
}

#define CODES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void what_is_wrong_is_found(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    const int64_t now_ms = (int64_t)1000 * DAY_MS;
    struct capacity_status room = {.state = CAPACITY_OK};
    const char *const nothing[] = {NULL};
    world_host(world, "h1", "alpha");
    world_report(world, "h1", " ", CODES("web1"));
    const char *vm_id = world_vm(world, "web1")->id;
    expect_conditions(world, &room, now_ms, nothing);

    world_backup(world, vm_id, JOB_FAILED, NULL, JOB_LOG_ERROR);
    expect_conditions(world, &room, now_ms, CODES("BACKUP_FAILED"));
    world_backup(world, vm_id, JOB_CANCELLED, NULL, JOB_LOG_ERROR);
    expect_conditions(world, &room, now_ms, CODES("BACKUP_FAILED"));
    world_backup(world, vm_id, JOB_COMPLETED_WITH_WARNINGS, "QUIESCE_NO_AGENT", JOB_LOG_WARNING);
    expect_conditions(world, &room, now_ms, CODES("BACKUP_WARNINGS"));
    world_backup(world, vm_id, JOB_COMPLETED_WITH_WARNINGS, "THAW_FAILED", JOB_LOG_WARNING);
    expect_conditions(world, &room, now_ms, CODES("BACKUP_WARNINGS", "THAW_FAILED"));
    world_backup(world, vm_id, JOB_COMPLETED, "GUEST_PAUSED", JOB_LOG_INFORMATION); /* of a try before */
    expect_conditions(world, &room, now_ms, CODES("GUEST_PAUSED"));
    world_backup(world, vm_id, JOB_COMPLETED, "TRACKING_LOST", JOB_LOG_INFORMATION);
    expect_conditions(world, &room, now_ms, CODES("TRACKING_LOST"));
    world_backup(world, vm_id, JOB_COMPLETED, NULL, JOB_LOG_INFORMATION);
    expect_conditions(world, &room, now_ms, nothing);

    room.store.damaged_chunks = 3;
    room.state = CAPACITY_CRITICAL;
    expect_conditions(world, &room, now_ms, CODES("CHUNK_DAMAGED", "STORE_SPACE_LOW"));
    expect_conditions(world, NULL, now_ms, nothing);

    check(catalog_host_set_state(world->catalog, "h1", HOST_OUTDATED, now_ms, &err), err);
    expect_conditions(world, NULL, now_ms, CODES("HOST_OUTDATED"));
    check(catalog_host_set_state(world->catalog, "h1", HOST_UNREACHABLE, now_ms - 300000, &err), err);
    expect_conditions(world, NULL, now_ms, nothing);
    expect_conditions(world, NULL, now_ms + 300000, CODES("HOST_UNREACHABLE"));
    struct catalog_host host = *catalog_host_find(world->catalog, world->arena, "h1", &err);
    host.state = HOST_CONNECTED;
    host.certificate_expires_ms = now_ms + (int64_t)20 * DAY_MS;
    check(catalog_host_put(world->catalog, &host, &err), err);
    expect_conditions(world, NULL, now_ms, CODES("CERTIFICATE_EXPIRING"));
    host.certificate_expires_ms = now_ms + (int64_t)25 * DAY_MS;
    check(catalog_host_put(world->catalog, &host, &err), err);
    expect_conditions(world, NULL, now_ms, nothing);

    const char *policy = world_policy(world, "hourly", SCHEDULE_INTERVAL, 60, "22:00");
    check(catalog_group_add(world->catalog, world_group(world, "web", policy), vm_id, &err), err);
    expect_conditions(world, NULL, now_ms, nothing); /* it was added now, in 2026 */
    expect_conditions(world, NULL, (int64_t)100000 * DAY_MS, CODES("RPO_MISSED", "CERTIFICATE_EXPIRING"));
    world_report(world, "h1", " ", nothing);
    expect_conditions(world, NULL, now_ms, CODES("VM_NOT_FOUND"));
}

static size_t apply(struct catalog_world *world, const struct catalog_alert *alerts, size_t count,
                    int64_t now_ms, bool all)
{
    struct error err;
    struct conditions conditions = {.arena = world->arena};
    struct catalog_alert_filter filter = {.resolved = all, .severity = -1};
    const struct catalog_alert *open;
    size_t open_count;
    for (size_t i = 0; i < count; i++) {
        conditions_add(&conditions, &alerts[i]);
    }
    check(alerts_apply(world->catalog, NULL, &conditions, now_ms, &err), err);
    check(catalog_alert_list(world->catalog, world->arena, &filter, NULL, &open, &open_count, &err), err);
    return open_count;
}

static void alerts_are_raised_once(void **state)
{
    struct catalog_world *world = *state;
    struct error err;
    const struct catalog_alert away = {.code = ERROR_HOST_UNREACHABLE,
                                       .severity = ALERT_CRITICAL,
                                       .object_kind = "host",
                                       .object_id = "h1",
                                       .object_name = "alpha",
                                       .message = "away"};
    struct catalog_alert two[] = {away, away};
    two[1].object_id = "h2";
    assert_int_equal(apply(world, &away, 1, 1000, true), 1);
    assert_int_equal(apply(world, &away, 1, 2000, true), 1);
    assert_int_equal(apply(world, two, 2, 3000, true), 2);
    struct catalog_alert twice[] = {away, two[1], away};
    assert_int_equal(apply(world, twice, 3, 3500, true), 2);
    assert_int_equal(apply(world, &two[1], 1, 4000, false), 1);
    assert_int_equal(apply(world, NULL, 0, 5000, false), 0);
    assert_int_equal(apply(world, &away, 1, 6000, true), 3); /* anew */
    check(catalog_alert_prune(world->catalog, 4500, &err), err);
    assert_int_equal(apply(world, &away, 1, 6000, true), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_judged),
        cmocka_unit_test(idle_history_is_no_division_by_zero),
        cmocka_unit_test(headers_are_safe),
        cmocka_unit_test(the_digest_has_its_time),
        cmocka_unit_test(html_is_escaped),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_found, world_begin, world_end),
        cmocka_unit_test_setup_teardown(alerts_are_raised_once, world_begin, world_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
