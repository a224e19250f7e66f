#include "server/jobs/jobs_internal.h"

enum job_state job_outcome(enum job_phase_state snapshot, enum job_phase_state transfer, bool kept_on_host,
                           bool warnings)
{
    if (snapshot == JOB_PHASE_FAILED || snapshot == JOB_PHASE_NONE) {
        return JOB_FAILED;
    }
    switch (transfer) {
    case JOB_PHASE_RUNNING:
        return JOB_RUNNING;
    case JOB_PHASE_SKIPPED:
    case JOB_PHASE_COMPLETED:
        return warnings ? JOB_COMPLETED_WITH_WARNINGS : JOB_COMPLETED;
    case JOB_PHASE_NONE:
    case JOB_PHASE_FAILED:
    default:
        return kept_on_host ? JOB_COMPLETED_WITH_WARNINGS : JOB_FAILED;
    }
}
