#include "cli/failure.h"

#include "cli/text.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static enum exit_status exit_of_http(long status)
{
    switch (status) {
    case 400:
    case 405:
    case 413:
    case 422:
        return EXIT_STATUS_USAGE;
    case 401:
    case 403:
        return EXIT_STATUS_NOT_PERMITTED;
    case 404:
        return EXIT_STATUS_NOT_FOUND;
    case 409:
    case 410:
    case 429:
    case 503:
    case 507:
        return EXIT_STATUS_REFUSED;
    default:
        return EXIT_STATUS_FAILED;
    }
}

static void set_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

int failure_from_error(struct failure *failure, const struct error *err)
{
    failure->status = error_code_exit_status(err->code);
    set_text(failure->code, sizeof failure->code, error_code_name(err->code));
    set_text(failure->message, sizeof failure->message, err->message);
    set_text(failure->cause, sizeof failure->cause, err->cause);
    set_text(failure->action, sizeof failure->action, error_code_action(err->code));
    return -1;
}

int failure_set(struct failure *failure, enum error_code code, const char *format, ...)
{
    struct error err;
    va_list arguments;
    error_clear(&err);
    err.code = code;
    va_start(arguments, format);
    vsnprintf(err.message, sizeof err.message, format, arguments);
    va_end(arguments);
    return failure_from_error(failure, &err);
}

int failure_from_reply(struct failure *failure, long http_status, const json_t *body)
{
    const char *code = json_string_value(json_object_get(body, "code"));
    const char *message = json_string_value(json_object_get(body, "message"));
    const char *action = json_string_value(json_object_get(body, "action"));
    const char *cause = json_string_value(json_object_get(body, "cause"));
    if (code == NULL || message == NULL) {
        failure_set(failure, ERROR_INTERNAL, "The server answered with HTTP status %ld and no reason",
                    http_status);
        failure->status = exit_of_http(http_status);
        return -1;
    }
    enum error_code known = error_code_from_name(code);
    failure->status = error_code_exit_status(known);
    if (known == ERROR_NONE || failure->status == EXIT_STATUS_FAILED) {
        failure->status = exit_of_http(http_status);
    }
    set_text(failure->code, sizeof failure->code, code);
    set_text(failure->message, sizeof failure->message, message);
    set_text(failure->cause, sizeof failure->cause, cause != NULL ? cause : "");
    set_text(failure->action, sizeof failure->action,
             action != NULL        ? action
             : known != ERROR_NONE ? error_code_action(known)
                                   : "");
    return -1;
}

static void print_json(const struct failure *failure, FILE *out)
{
    json_t *object = json_pack("{s:s, s:s, s:s}", "code", failure->code, "message", failure->message,
                               "action", failure->action);
    if (object != NULL && failure->cause[0] != '\0') {
        json_object_set_new(object, "cause", json_string(failure->cause));
    }
    json_dumpf(object, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(object);
}

static void print_line(FILE *out, const char *label, const char *text)
{
    char *printable = text_printable(text);
    fprintf(out, "%s%s\n", label, printable);
    free(printable);
}

void failure_print(const struct failure *failure, bool json, FILE *out)
{
    if (json) {
        print_json(failure, out);
        return;
    }
    print_line(out, "holdfast: ", failure->message);
    if (failure->cause[0] != '\0') {
        print_line(out, "  Why:  ", failure->cause);
    }
    if (failure->action[0] != '\0') {
        print_line(out, "  Do:   ", failure->action);
    }
    print_line(out, "  Code: ", failure->code);
}
