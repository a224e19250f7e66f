#include "base/log.h"

#include "base/log_json.h"

#include "base/buffer.h"
#include "base/clock.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 8192, LOG_JOB_MAX = 64 };

static const char *log_component = "holdfast";
static enum log_level log_minimum = LOG_INFO;
static enum log_format log_form = LOG_TEXT;
static _Thread_local char log_job[LOG_JOB_MAX];

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void log_init(const char *component, enum log_level minimum)
{
    log_component = component;
    log_minimum = minimum;
}

int log_level_parse(const char *text, enum log_level *level)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

void log_set_format(enum log_format format)
{
    log_form = format;
}

int log_format_parse(const char *text, enum log_format *format)
{
    *format = strcmp(text, "json") == 0 ? LOG_JSON : LOG_TEXT;
    return *format == LOG_JSON || strcmp(text, "text") == 0 ? 0 : -1;
}

void log_set_job(const char *job_id)
{
    snprintf(log_job, sizeof log_job, "%s", job_id != NULL ? job_id : "");
}

/* One event is one line, whatever the values hold. */
static void log_flatten(uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (iscntrl(text[i])) {
            text[i] = ' ';
        }
    }
}

static void log_text_write(struct buffer *line, const struct log_line *parts)
{
    buffer_append_format(line, "%s %-7s %s: \"%s\"", parts->time, parts->level, parts->component,
                         parts->event);
    if (parts->fields[0] != '\0') {
        buffer_append_format(line, " %s", parts->fields);
    }
    if (parts->job[0] != '\0') {
        buffer_append_format(line, " job=%s", parts->job);
    }
}

void log_event(enum log_level level, const char *event, const char *fields, ...)
{
    if (level < log_minimum) {
        return;
    }
    char now[CLOCK_TEXT_SIZE];
    char text[LOG_LINE_MAX / 2] = "";
    struct buffer line;
    if (fields != NULL) {
        va_list arguments;
        va_start(arguments, fields);
        vsnprintf(text, sizeof text, fields, arguments);
        va_end(arguments);
    }
    log_flatten((uint8_t *)text, strlen(text));
    bool named = strncmp(text, "job=", 4) == 0; /* by the event itself */
    struct log_line parts = {.time = clock_format_wall(clock_wall_ms(), now),
                             .level = level_names[level],
                             .component = log_component,
                             .event = event,
                             .fields = text,
                             .job = named ? "" : log_job};
    buffer_init(&line, 4 * LOG_LINE_MAX);
    if (log_form == LOG_JSON) {
        log_json_write(&line, &parts);
    } else {
        log_text_write(&line, &parts);
    }
    buffer_append(&line, "\n", 1);
    /* Nobody is left to tell when standard error is gone. */
    ssize_t written = write(STDERR_FILENO, line.data, line.length);
    (void)written;
    buffer_free(&line);
}

/* Quotes inside a quoted value become apostrophes, so that a line can be taken apart again. */
static void log_unquote(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            *text = '\'';
        }
    }
}

void log_error(const char *event, const struct error *err)
{
    struct error copy = *err;
    log_unquote(copy.message);
    log_unquote(copy.cause);
    log_event(LOG_ERROR, event, "code=%s message=\"%s\" cause=\"%s\"", error_code_name(copy.code),
              copy.message, copy.cause);
}

void log_job_error(const char *job_id, const char *event, const struct error *err)
{
    char before[LOG_JOB_MAX];
    memcpy(before, log_job, sizeof before);
    log_set_job(job_id);
    log_error(event, err);
    memcpy(log_job, before, sizeof before);
}
