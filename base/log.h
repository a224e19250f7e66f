/*
 * Structured logging to standard error (the journal reads it there): one line an event,
 *   2026-01-31T10:00:00.123Z info  server: "job started" job=j12 vm=web1
 * Thread-safe; a line is written with one write(2). No secret is ever passed to it.
 */
#ifndef HOLDFAST_BASE_LOG_H
#define HOLDFAST_BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* Call once, before threads start. component: "server", "agent"; borrowed for ever. */
void log_init(const char *component, enum log_level minimum);
/* "debug", "info", "warning", "error"; -1 when it is none of them. */
int log_level_parse(const char *text, enum log_level *level);

enum log_format {
    LOG_TEXT, /* as above */
    LOG_JSON, /* {"time":"2026-01-31T10:00:00.123Z","level":"info","component":"server","event":"job started",
                 "job":"j12","vm":"web1"}: all values are texts */
};
/* Call once, as log_init. */
void log_set_format(enum log_format format);
int log_format_parse(const char *text, enum log_format *format); /* "text", "json"; -1 */

/*
 * event: a short constant sentence. fields: a format that yields `key=value key="two words"` pairs, or NULL.
 * The job of the calling thread, if one is set, is appended as job=.
 */
void log_event(enum log_level level, const char *event, const char *fields, ...)
    __attribute__((format(printf, 3, 4)));
/* Log an error with its code, message and cause. */
void log_error(const char *event, const struct error *err);

/* As log_error, for a job that the calling thread does not work for alone. */
void log_job_error(const char *job_id, const char *event, const struct error *err);

/* The job that the calling thread works for, until it is set anew; NULL for none. The text is copied (≤ 63
 * bytes). */
void log_set_job(const char *job_id);

#endif
