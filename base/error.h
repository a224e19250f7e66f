/*
 * The one error type of the project, and the catalogue of its codes.
 *
 * An error is filled where the failure is first known, with the name of the object it happened to, is passed
 * up unchanged or wrapped, and is logged once, at the top. Every function that can fail takes a `struct error
 * *` (never NULL) and returns 0 or -1, or a pointer or NULL; the error is meaningful only after a failure.
 *
 * Codes are stable: they are shown to operators and matched by scripts. base/error_catalogue.def is their
 * only source; `holdfast help CODE`, the API's errors and docs/errors.md come from it.
 */
#ifndef HOLDFAST_BASE_ERROR_H
#define HOLDFAST_BASE_ERROR_H

#include <stddef.h>

enum error_code {
    ERROR_NONE = 0,
#define ERROR_ENTRY(name, says, action) ERROR_##name,
#include "base/error_catalogue.def"
#undef ERROR_ENTRY
    ERROR_CODE_COUNT
};

enum { ERROR_TEXT_MAX = 512 };

struct error {
    enum error_code code;
    char message[ERROR_TEXT_MAX]; /* what happened to what, one sentence, names filled in */
    char cause[ERROR_TEXT_MAX];   /* the underlying reason, empty when there is none */
};

/* Fill the error. The text is cut at ERROR_TEXT_MAX. Always returns -1, so that callers can `return
 * error_set(…)`. */
int error_set(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, with strerror(errnum) as the cause. */
int error_set_errno(struct error *err, enum error_code code, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Set only the cause of an error that is already filled. Returns -1. */
int error_set_cause(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replace code and message; what was there before becomes the cause. Returns -1. */
int error_wrap(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The analyzer sees one file at a time: this tells it what these return. */
#if defined __clang_analyzer__ && !defined ERROR_IMPLEMENTATION
#define error_set(...) (error_set(__VA_ARGS__), -1)
#define error_set_errno(...) (error_set_errno(__VA_ARGS__), -1)
#define error_set_cause(...) (error_set_cause(__VA_ARGS__), -1)
#define error_wrap(...) (error_wrap(__VA_ARGS__), -1)
#endif

void error_clear(struct error *err);

/* "CODE: message (cause)" into out, cut at size; returns out. For logs. */
const char *error_format(const struct error *err, char *out, size_t size);

/* The catalogue. Names are the stable upper-case codes ("STORE_FULL"); ERROR_NONE is "NONE". */
const char *error_code_name(enum error_code code);
const char *error_code_says(enum error_code code);   /* the general sentence */
const char *error_code_action(enum error_code code); /* what to do next */
/* ERROR_NONE when the name is unknown; a peer one version ahead may send such a name. */
enum error_code error_code_from_name(const char *name);

/* What every program of the project exits with. */
enum exit_status {
    EXIT_STATUS_DONE = 0,
    EXIT_STATUS_FAILED = 1,
    EXIT_STATUS_USAGE = 2,       /* also wrong values */
    EXIT_STATUS_UNREACHABLE = 3, /* the server */
    EXIT_STATUS_NOT_PERMITTED = 4,
    EXIT_STATUS_NOT_FOUND = 5,
    EXIT_STATUS_REFUSED = 6, /* in this state */
};
enum exit_status error_code_exit_status(enum error_code code);

#endif
