#include "server/audit/audit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX = 400,
    DETAIL_MAX = 256 * 1024,
    HEAD_LINE_SIZE = 20 + 1 + CHAIN_HASH_SIZE - 1 + 1, /* number, blank, hash, newline */
    STRANGERS_AT_ONCE = 20,
    STRANGER_EVERY_MS = 3000,
    DAY_MS = 24 * 3600 * 1000,
};

struct audit {
    struct catalog *catalog;
    char *head_path;
    struct os_file *head_file;
    pthread_mutex_t reading; /* one verify or prune at a time; before lock */
    pthread_mutex_t lock;    /* guards what follows, and the end of the record; before the catalog's */
    struct chain_head head;
    int64_t logged;                 /* number of the head that was logged last */
    pthread_mutex_t strangers_lock; /* guards what follows; never held while anything is written */
    unsigned strangers;             /* that may be recorded now */
    int64_t strangers_ms;           /* monotonic, when that was counted */
    uint64_t left_out;
};

/* Cut, and safe for JSON: malloc'd. */
static char *clean(const char *text, size_t limit)
{
    char *copy = memory_format("%.*s", (int)limit, text != NULL ? text : "");
    json_t *valid = json_string(copy);
    for (char *at = copy; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f || (valid == NULL && (unsigned char)*at >= 0x80)) {
            *at = '?';
        }
    }
    json_decref(valid);
    return copy;
}

/* The file has one line of fixed length that is written in place: it needs no space on a full disk. */
static int write_head(struct audit *audit, struct error *err)
{
    char line[HEAD_LINE_SIZE + 1];
    snprintf(line, sizeof line, "%020" PRId64 " %s\n", audit->head.number, audit->head.hash);
    return os_file_write_at(audit->head_file, 0, line, HEAD_LINE_SIZE, err);
}

static int append_locked(struct audit *audit, struct catalog_audit *row, struct error *err)
{
    char hash[CHAIN_HASH_SIZE];
    row->number = audit->head.number + 1;
    row->time_ms = clock_wall_ms();
    chain_hash(audit->head.hash, row, hash);
    row->hash = hash;
    int result = catalog_audit_insert(audit->catalog, row, err);
    row->hash = NULL;
    if (result != 0) {
        return -1;
    }
    audit->head.number = row->number;
    memcpy(audit->head.hash, hash, sizeof hash);
    if (write_head(audit, err) != 0) {
        log_error("the head of the audit record is only in the catalog", err);
    }
    return 0;
}

static int append(struct audit *audit, const struct audit_entry *entry, const char *outcome, const char *code,
                  int64_t of, int64_t *number, struct error *err)
{
    char *actor = clean(entry->actor, TEXT_MAX);
    char *address = clean(entry->address, TEXT_MAX);
    char *action = clean(entry->action, TEXT_MAX);
    char *object = clean(entry->object, TEXT_MAX);
    const char *detail = entry->detail != NULL ? entry->detail : "{}";
    struct catalog_audit row = {.actor = actor,
                                .address = address,
                                .action = action,
                                .object = object,
                                .outcome = outcome,
                                .code = code,
                                .detail = strlen(detail) <= DETAIL_MAX ? detail : "{\"cut\":true}",
                                .of = of};
    pthread_mutex_lock(&audit->lock);
    int result = append_locked(audit, &row, err);
    pthread_mutex_unlock(&audit->lock);
    if (number != NULL) {
        *number = row.number;
    }
    free(actor);
    free(address);
    free(action);
    free(object);
    return result == 0 ? 0
                       : error_wrap(err, ERROR_AUDIT_FAILED,
                                    "The audit record can't be written; not done: %.200s", entry->action);
}

int audit_begin(struct audit *audit, const struct audit_entry *entry, int64_t *number, struct error *err)
{
    return append(audit, entry, "begun", "", 0, number, err);
}

void audit_end(struct audit *audit, const struct audit_entry *entry, int64_t number,
               const struct error *refused)
{
    struct error err;
    if (append(audit, entry, refused == NULL ? "done" : "refused",
               refused == NULL ? "" : error_code_name(refused->code), number, NULL, &err) != 0) {
        log_error("the outcome of a change is not on the audit record", &err);
    }
}

int audit_note(struct audit *audit, const struct audit_entry *entry, struct error *err)
{
    return append(audit, entry, "noted", "", 0, NULL, err);
}

/* --- strangers */

bool audit_stranger_counts(struct audit *audit)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&audit->strangers_lock);
    int64_t more = (now_ms - audit->strangers_ms) / STRANGER_EVERY_MS;
    if (more > 0) {
        audit->strangers = more < STRANGERS_AT_ONCE ? audit->strangers + (unsigned)more : STRANGERS_AT_ONCE;
        audit->strangers = audit->strangers < STRANGERS_AT_ONCE ? audit->strangers : STRANGERS_AT_ONCE;
        audit->strangers_ms += more * STRANGER_EVERY_MS;
    }
    bool counts = audit->strangers > 0;
    audit->strangers -= counts;
    audit->left_out += !counts;
    pthread_mutex_unlock(&audit->strangers_lock);
    return counts;
}

void audit_stranger(struct audit *audit, const struct audit_entry *entry, const struct error *refused)
{
    struct error err;
    struct audit_entry told = *entry;
    pthread_mutex_lock(&audit->strangers_lock);
    uint64_t left_out = audit->left_out;
    audit->left_out = 0;
    pthread_mutex_unlock(&audit->strangers_lock);
    char *detail = memory_format("{\"left_out_before\":%" PRIu64 "}", left_out);
    told.detail = detail;
    if (append(audit, &told, "refused", error_code_name(refused->code), 0, NULL, &err) != 0) {
        log_error("a refusal is not on the audit record", &err);
    }
    free(detail);
}

/* --- the head */

/* -1 when there is none that can be read. */
static int read_head(const char *path, struct chain_head *head)
{
    struct error ignored;
    uint8_t *bytes = NULL;
    size_t length;
    int result = os_file_read_whole(path, 2 * HEAD_LINE_SIZE, &bytes, &length, &ignored);
    if (result == 0) {
        result = chain_head_parse((const char *)bytes, head);
        free(bytes);
    }
    return result;
}

void audit_log_head(struct audit *audit)
{
    struct error err;
    pthread_mutex_lock(&audit->lock);
    struct chain_head head = audit->head;
    bool changed = head.number != audit->logged;
    audit->logged = head.number;
    pthread_mutex_unlock(&audit->lock);
    if (changed) {
        log_event(LOG_INFO, "audit head", "number=%" PRId64 " hash=%s", head.number, head.hash);
        if (os_file_sync(audit->head_file, &err) != 0) {
            log_error("the head of the audit record is not on the disk", &err);
        }
    }
}

/* Why the end of the record is not what the file says; NULL when it is. */
static const char *judge_end(struct audit *audit, struct arena *arena, struct error *err)
{
    struct chain_head file;
    const char *hash = NULL;
    bool readable = read_head(audit->head_path, &file) == 0;
    if (!readable) {
        return audit->head.number > 0 ? "the file of the head was missing when the server started" : NULL;
    }
    if (catalog_audit_hash(audit->catalog, arena, file.number, &hash, err) != 0) {
        return err->message;
    }
    if (hash == NULL) {
        return arena_format(arena,
                            "when the server started the record ended at entry %" PRId64
                            " and the file of the head named entry %" PRId64 " %s",
                            audit->head.number, file.number, file.hash);
    }
    return strcmp(hash, file.hash) == 0
               ? NULL
               : arena_format(arena,
                              "when the server started entry %" PRId64 " was not the one that the file of "
                              "the head named, %s",
                              file.number, file.hash);
}

/* A head behind the file's: numbers go on after what is missing, so that it stays missing. */
static int take_up(struct audit *audit, struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_audit *last = NULL;
    int result = catalog_audit_last(audit->catalog, arena, &last, err);
    if (result == 0 && last != NULL) { /* whatever it is: audit_verify judges */
        audit->head.number = last->number;
        snprintf(audit->head.hash, sizeof audit->head.hash, "%s", last->hash);
    }
    const char *wrong = result == 0 ? judge_end(audit, arena, err) : NULL;
    if (result == 0) {
        audit->head_file = os_file_open(audit->head_path, OS_FILE_OPEN_CREATE, err);
        result = audit->head_file != NULL ? 0 : -1;
    }
    if (wrong != NULL && result == 0) {
        struct error told;
        struct audit_entry entry = {.actor = "server", .action = "audit broken", .object = wrong};
        error_set(&told, ERROR_AUDIT_BROKEN, "The audit record is not whole: %.300s", wrong);
        log_error("the audit record is not whole", &told);
        result = append(audit, &entry, "noted", error_code_name(told.code), 0, NULL, err);
    }
    arena_destroy(arena);
    return result;
}

struct audit *audit_open(struct catalog *catalog, const char *head_path, struct error *err)
{
    struct audit *audit = memory_zalloc(sizeof *audit);
    audit->catalog = catalog;
    audit->head_path = memory_copy_text(head_path);
    audit->strangers = STRANGERS_AT_ONCE;
    audit->strangers_ms = clock_monotonic_ms();
    chain_head_init(&audit->head);
    pthread_mutex_init(&audit->lock, NULL);
    pthread_mutex_init(&audit->reading, NULL);
    pthread_mutex_init(&audit->strangers_lock, NULL);
    if (take_up(audit, err) != 0) {
        audit_close(audit);
        return NULL;
    }
    return audit;
}

void audit_close(struct audit *audit)
{
    if (audit == NULL) {
        return;
    }
    if (audit->head_file != NULL) {
        audit_log_head(audit);
    }
    os_file_close(audit->head_file);
    pthread_mutex_destroy(&audit->strangers_lock);
    pthread_mutex_destroy(&audit->reading);
    pthread_mutex_destroy(&audit->lock);
    free(audit->head_path);
    free(audit);
}

/* --- verify */

static int broken(struct audit_verdict *verdict, int64_t number, const char *why)
{
    if (verdict->broken == 0) {
        verdict->broken = number;
        snprintf(verdict->why, sizeof verdict->why, "%s", why);
    }
    return -1;
}

/* What entry number N must be, by those who know: the memory, the file, the caller. */
struct witnesses {
    struct chain_head heads[3];
    const char *names[3];
};

static int judge_row(struct audit_verdict *verdict, const struct witnesses *witnesses,
                     const struct catalog_audit *row)
{
    const char *why;
    if (chain_follow(&verdict->head, row, &why) != 0) {
        return broken(verdict, row->number, why);
    }
    verdict->last = row->number;
    for (size_t i = 0; i < sizeof witnesses->heads / sizeof *witnesses->heads; i++) {
        if (witnesses->heads[i].number == row->number && strcmp(witnesses->heads[i].hash, row->hash) != 0) {
            return broken(verdict, row->number, witnesses->names[i]);
        }
    }
    if (strcmp(row->action, "audit broken") == 0) {
        broken(verdict, row->number, row->object); /* the chain goes on */
    }
    return 0;
}

/* Where the chain begins: at the first entry, or behind what was removed. */
static int find_beginning(struct audit *audit, struct arena *arena, const struct catalog_audit *row,
                          struct audit_verdict *verdict, struct error *err)
{
    const char *hash = NULL;
    verdict->first = row->number;
    if (row->number <= 1) {
        return 0;
    }
    if (catalog_audit_checkpoint(audit->catalog, arena, row->number - 1, &hash, err) != 0) {
        return -1;
    }
    if (hash != NULL && strlen(hash) == CHAIN_HASH_SIZE - 1) {
        verdict->head.number = row->number - 1;
        memcpy(verdict->head.hash, hash, sizeof verdict->head.hash);
    }
    return 0;
}

static int walk(struct audit *audit, const struct witnesses *witnesses, struct audit_verdict *verdict,
                struct error *err)
{
    struct catalog_page page = {0};
    size_t count;
    int result = 0;
    do {
        struct arena *arena = arena_create();
        const struct catalog_audit *rows = NULL;
        count = 0;
        result = catalog_audit_walk(audit->catalog, arena, &page, &rows, &count, err);
        if (result == 0 && page.after == 0 && count > 0) {
            result = find_beginning(audit, arena, &rows[0], verdict, err);
        }
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = rows[i].number;
            if (judge_row(verdict, witnesses, &rows[i]) != 0) {
                count = 0; /* nothing behind it can be judged */
            }
        }
        arena_destroy(arena);
    } while (result == 0 && count == CATALOG_PAGE_MAX);
    return result;
}

int audit_verify(struct audit *audit, const struct chain_head *known, struct audit_verdict *verdict,
                 struct error *err)
{
    struct witnesses witnesses = {.names = {"it is not the one that the server wrote",
                                            "it is not the one that the file of the head names",
                                            "it is not the one that was given"}};
    *verdict = (struct audit_verdict){0};
    chain_head_init(&verdict->head);
    pthread_mutex_lock(&audit->reading);
    pthread_mutex_lock(&audit->lock);
    witnesses.heads[0] = audit->head;
    bool has_file = read_head(audit->head_path, &witnesses.heads[1]) == 0;
    pthread_mutex_unlock(&audit->lock);
    witnesses.heads[2] = *known;
    int result = walk(audit, &witnesses, verdict, err);
    pthread_mutex_unlock(&audit->reading);
    for (size_t i = 0; result == 0 && i < 3; i++) {
        if (witnesses.heads[i].number > verdict->last && verdict->broken == 0) {
            broken(verdict, verdict->last + 1, "it is missing, and all after it");
        }
        if (i == 2 && known->number > 0 && known->number < verdict->first && verdict->broken == 0) {
            return error_set(err, ERROR_REQUEST_INVALID, "Entry %" PRId64 " was removed for its age",
                             known->number);
        }
    }
    if (result == 0 && !has_file && witnesses.heads[0].number > 0) {
        broken(verdict, verdict->last, "the file of the head is missing or can't be read");
    }
    return result;
}

/* --- pruning */

static int prune(struct audit *audit, struct arena *arena, unsigned days, struct error *err)
{
    int64_t number;
    const char *hash;
    int64_t before_ms = clock_wall_ms() - (int64_t)days * DAY_MS;
    if (catalog_audit_before(audit->catalog, arena, before_ms, &number, &hash, err) != 0) {
        return -1;
    }
    if (number == 0) {
        return 0;
    }
    struct audit_entry entry = {.actor = "server",
                                .action = "audit prune",
                                .object = hash,
                                .detail = arena_format(arena, "{\"up_to\":%" PRId64 "}", number)};
    return append(audit, &entry, "noted", "", number, NULL, err) != 0
               ? -1
               : catalog_audit_prune(audit->catalog, number, err);
}

int audit_prune(struct audit *audit, unsigned days, struct error *err)
{
    struct arena *arena = arena_create();
    pthread_mutex_lock(&audit->reading);
    int result = prune(audit, arena, days, err);
    pthread_mutex_unlock(&audit->reading);
    arena_destroy(arena);
    return result;
}
