#define ERROR_IMPLEMENTATION
#include "base/error.h"

#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct catalogue_entry {
    const char *name;
    const char *says;
    const char *action;
};

static const struct catalogue_entry catalogue[ERROR_CODE_COUNT] = {
    [ERROR_NONE] = {"NONE", "Nothing happened.", "Nothing."},
#define ERROR_ENTRY(name, says, action) [ERROR_##name] = {#name, says, action},
#include "base/error_catalogue.def"
#undef ERROR_ENTRY
};

/* Names in it may be of any bytes, and what does not fit may be cut within a character: what is told is text.
 */
__attribute__((format(printf, 2, 0))) static void set_text(char out[ERROR_TEXT_MAX], const char *format,
                                                           va_list arguments)
{
    vsnprintf(out, ERROR_TEXT_MAX, format, arguments);
    utf8_repair(out);
}

int error_set(struct error *err, enum error_code code, const char *format, ...)
{
    va_list arguments;
    err->code = code;
    err->cause[0] = '\0';
    va_start(arguments, format);
    set_text(err->message, format, arguments);
    va_end(arguments);
    return -1;
}

int error_set_errno(struct error *err, enum error_code code, int errnum, const char *format, ...)
{
    va_list arguments;
    char reason[128];
    err->code = code;
    va_start(arguments, format);
    set_text(err->message, format, arguments);
    va_end(arguments);
    snprintf(err->cause, sizeof err->cause, "%s", strerror_r(errnum, reason, sizeof reason));
    return -1;
}

int error_set_cause(struct error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_text(err->cause, format, arguments);
    va_end(arguments);
    return -1;
}

int error_wrap(struct error *err, enum error_code code, const char *format, ...)
{
    va_list arguments;
    char inner[ERROR_TEXT_MAX];
    error_format(err, inner, sizeof inner);
    err->code = code;
    va_start(arguments, format);
    set_text(err->message, format, arguments);
    va_end(arguments);
    memcpy(err->cause, inner, sizeof inner);
    utf8_repair(err->cause); /* it may be cut */
    return -1;
}

void error_clear(struct error *err)
{
    err->code = ERROR_NONE;
    err->message[0] = '\0';
    err->cause[0] = '\0';
}

const char *error_format(const struct error *err, char *out, size_t size)
{
    const char *name = error_code_name(err->code);
    /* What does not fit is cut off. */
    int length = err->cause[0] != '\0' ? snprintf(out, size, "%s: %s (%s)", name, err->message, err->cause)
                                       : snprintf(out, size, "%s: %s", name, err->message);
    if (length < 0 && size > 0) {
        out[0] = '\0';
    }
    return out;
}

static const struct catalogue_entry *catalogue_entry_of(enum error_code code)
{
    return (unsigned)code < ERROR_CODE_COUNT ? &catalogue[code] : &catalogue[ERROR_INTERNAL];
}

const char *error_code_name(enum error_code code)
{
    return catalogue_entry_of(code)->name;
}

const char *error_code_says(enum error_code code)
{
    return catalogue_entry_of(code)->says;
}

const char *error_code_action(enum error_code code)
{
    return catalogue_entry_of(code)->action;
}

enum error_code error_code_from_name(const char *name)
{
    for (unsigned code = 1; code < ERROR_CODE_COUNT; code++) {
        if (strcmp(catalogue[code].name, name) == 0) {
            return (enum error_code)code;
        }
    }
    return ERROR_NONE;
}

enum exit_status error_code_exit_status(enum error_code code)
{
    switch (code) {
    case ERROR_NONE:
        return EXIT_STATUS_DONE;
    case ERROR_REQUEST_INVALID:
    case ERROR_POLICY_NAME_INVALID:
    case ERROR_SCHEDULE_INVALID:
    case ERROR_RETENTION_INVALID:
    case ERROR_VM_AMBIGUOUS:
    case ERROR_USER_INVALID:
        return EXIT_STATUS_USAGE;
    case ERROR_SERVER_UNREACHABLE:
    case ERROR_CONNECTION_LOST:
    case ERROR_TLS_FAILED:
    case ERROR_PROTOCOL_TIMEOUT:
    case ERROR_PROXY_AUTH_REQUIRED:
        return EXIT_STATUS_UNREACHABLE;
    case ERROR_AUTHENTICATION_FAILED:
    case ERROR_STORE_KEY_WRONG:
    case ERROR_PERMISSION_DENIED:
    case ERROR_SECOND_FACTOR_REQUIRED:
    case ERROR_SESSION_EXPIRED:
    case ERROR_LOGIN_DELAYED:
    case ERROR_ENROL_TOKEN_INVALID:
    case ERROR_HOST_CERT_REFUSED:
        return EXIT_STATUS_NOT_PERMITTED;
    case ERROR_HOST_NOT_FOUND:
    case ERROR_VM_NOT_FOUND:
    case ERROR_DISK_NOT_FOUND:
    case ERROR_JOB_NOT_FOUND:
    case ERROR_RP_NOT_FOUND:
    case ERROR_POLICY_NOT_FOUND:
    case ERROR_GROUP_NOT_FOUND:
    case ERROR_ALERT_NOT_FOUND:
    case ERROR_NOTIFY_NOT_FOUND:
    case ERROR_USER_NOT_FOUND:
    case ERROR_TOKEN_NOT_FOUND:
    case ERROR_APPROVAL_NOT_FOUND:
    case ERROR_ROUTE_NOT_FOUND:
        return EXIT_STATUS_NOT_FOUND;
    case ERROR_RESTORE_PATH_EXISTS:
    case ERROR_RESTORE_TARGET_IN_USE:
    case ERROR_RP_ON_HOST_ONLY:
    case ERROR_SNAPSHOT_GONE:
    case ERROR_SEED_REFUSED:
    case ERROR_NOT_INITIALIZED:
    case ERROR_NAME_TAKEN:
    case ERROR_STORE_LOCKED:
    case ERROR_AGENT_BUSY:
    case ERROR_HOST_DRAINED:
    case ERROR_CATALOG_NEWER:
    case ERROR_LAST_ADMINISTRATOR:
    case ERROR_APPROVAL_PENDING:
    case ERROR_APPROVAL_CLOSED:
        return EXIT_STATUS_REFUSED;
    default:
        return EXIT_STATUS_FAILED;
    }
}
