/* Jobs that have ended are listed for a year (job-history-days), then forgotten with their logs. */
#ifndef HOLDFAST_SERVER_JOB_HISTORY_H
#define HOLDFAST_SERVER_JOB_HISTORY_H

#include "server/server.h"

/* Removes what is older, a bounded number of jobs at a time: the next call goes on. Blocks. CONFIG_INVALID.
 */
int job_history_prune(struct server *server, struct error *err);

#endif
