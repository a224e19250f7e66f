/* What a job's phases make of it: the matrix of docs/architecture.md, every cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/jobs/jobs_internal.h"

struct cell {
    enum job_phase_state snapshot;
    enum job_phase_state transfer;
    bool kept_on_host; /* the snapshot restores from the host */
    bool warnings;
    enum job_state expected;
};

static void test_matrix(void **state)
{
    (void)state;
    static const struct cell cells[] = {
        {JOB_PHASE_COMPLETED, JOB_PHASE_RUNNING, false, false, JOB_RUNNING},
        {JOB_PHASE_COMPLETED, JOB_PHASE_SKIPPED, false, false, JOB_COMPLETED},
        {JOB_PHASE_COMPLETED, JOB_PHASE_COMPLETED, false, false, JOB_COMPLETED},
        {JOB_PHASE_COMPLETED, JOB_PHASE_COMPLETED, false, true, JOB_COMPLETED_WITH_WARNINGS},
        {JOB_PHASE_COMPLETED, JOB_PHASE_FAILED, true, false, JOB_COMPLETED_WITH_WARNINGS},
        {JOB_PHASE_COMPLETED, JOB_PHASE_FAILED, false, false, JOB_FAILED},
        {JOB_PHASE_FAILED, JOB_PHASE_NONE, false, false, JOB_FAILED},
        {JOB_PHASE_FAILED, JOB_PHASE_NONE, true, true, JOB_FAILED},
        {JOB_PHASE_NONE, JOB_PHASE_NONE, false, false, JOB_FAILED},
    };
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        assert_int_equal(
            job_outcome(cells[i].snapshot, cells[i].transfer, cells[i].kept_on_host, cells[i].warnings),
            cells[i].expected);
    }
}

static void test_states_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        enum job_state parsed;
        assert_int_equal(job_state_parse(job_state_name((enum job_state)i), &parsed), 0);
        assert_int_equal(parsed, i);
        assert_int_equal(job_state_is_final(parsed), i >= JOB_COMPLETED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_matrix),
                                       cmocka_unit_test(test_states_have_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
