/*
 * Following a job to its end: by the server's stream of events (GET /v1/events), and by asking again and
 * again where that is not to be had. A server that restarts is waited for, for a minute: the job goes on
 * after that.
 */
#ifndef HOLDFAST_CLI_JOB_FOLLOW_H
#define HOLDFAST_CLI_JOB_FOLLOW_H

#include "cli/command.h"

/* Shows progress; the job at its end, with its log, in *job (also on failure: as it was known last, or NULL).
 * Blocks. */
int job_follow(struct cli *cli, const char *id, json_t **job, struct failure *failure);

bool job_is_final(const json_t *job);
/* "backup of web1", malloc'd. */
char *job_label(const json_t *job);

#endif
