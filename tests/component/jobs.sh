#!/usr/bin/env bash
# Jobs: listed, shown with both phases, cancelled while they run, refused when they do not.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
head -c 600M /dev/urandom >"$world/large.img"
world_with_image large "$world/large.img"
cli backup large
job=$(last_job)
expect_code JOB_CONFLICT cli backup large
transferring() { [ "$(job_field "$job" .progress.done_bytes)" -gt 0 ]; }
wait_for 30 transferring || fail "the job does not begin"
cli job cancel "$job"
wait_for 60 job_is_over "$job" || fail "the job does not end"
[ "$(job_field "$job" .state)" = cancelled ] || fail "it was not cancelled: $(job_field "$job" .state)"
expect_code JOB_NOT_RUNNING cli job cancel "$job"
expect_status 6 cli job cancel "$job"
[ -z "$(points large)" ] || fail "a cancelled job made a point"
cli backup large --wait
job=$(last_job)
[ "$(job_field "$job" .phases.snapshot.state)" = completed ]
[ "$(job_field "$job" .phases.transfer.state)" = completed ]
[ "$(ask job list --state cancelled | jq '.items | length')" -eq 1 ]
expect_code JOB_NOT_RUNNING cli job cancel "$job"
