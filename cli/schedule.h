/*
 * Schedules as the options of commands say them and as people read them.
 */
#ifndef HOLDFAST_CLI_SCHEDULE_H
#define HOLDFAST_CLI_SCHEDULE_H

#include "cli/command.h"

/* The schedule that the options ask for, for the API; *schedule stays NULL when they ask for none.
 * REQUEST_INVALID, SCHEDULE_INVALID. */
int schedule_read_options(const struct cli *cli, json_t **schedule, struct failure *failure);
/* "mon,wed at 22:00 Europe/Zurich", of a policy as the API gives it; malloc'd. */
char *schedule_text_of(const json_t *policy);

#endif
