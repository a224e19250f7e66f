/*
 * What an operator is told when a command fails: code, what happened, why, what to do next, and the exit
 * status that scripts see. The server's errors come with their own action, since its catalogue may be newer
 * than ours.
 */
#ifndef HOLDFAST_CLI_FAILURE_H
#define HOLDFAST_CLI_FAILURE_H

#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct failure {
    enum exit_status status;
    char code[64];
    char message[ERROR_TEXT_MAX];
    char cause[ERROR_TEXT_MAX];
    char action[ERROR_TEXT_MAX];
};

/* All three return -1, so that callers can return them. */
int failure_set(struct failure *failure, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int failure_from_error(struct failure *failure, const struct error *err);
/* From the server's answer: an HTTP status of 400 or more, and a body that may be NULL or anything. */
int failure_from_reply(struct failure *failure, long http_status, const json_t *body);

/* "holdfast: message", cause, action and code for people, or the JSON object for scripts. */
void failure_print(const struct failure *failure, bool json, FILE *out);

#endif
