/*
 * A job that its caller carries out itself, in one go: changes of protection groups. It stands in the list of
 * jobs while it runs; one that the server's end interrupted is failed at the next start. One thread.
 */
#ifndef HOLDFAST_SERVER_CONFIGURE_JOB_H
#define HOLDFAST_SERVER_CONFIGURE_JOB_H

#include "server/catalog/catalog.h"

struct configure_job {
    struct catalog *catalog;
    struct catalog_job row;
    char id[IDENTITY_SIZE];
    bool warned;
};

/* what: "group web is made with 2 VMs"; borrowed until the end, as are the others. group_id: NULL when it is
 * not there yet. */
int configure_job_begin(struct configure_job *job, struct catalog *catalog, const char *group_id,
                        const char *what, const char *actor, struct error *err);
/* A line of its log. One that can't be written is only logged. */
void configure_job_note(struct configure_job *job, enum job_log_level level, enum error_code code,
                        const char *text);
/* Once after a begin that succeeded. result 0: completed; otherwise failed with err. Gives the result; that
 * the end could not be stored is only logged. */
int configure_job_end(struct configure_job *job, const char *group_id, int result, const struct error *err);

#endif
