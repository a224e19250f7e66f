#!/usr/bin/env bash
# A running job is cancelled soon; a finished one says that there is nothing to cancel; the next backup goes on.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/a.raw" 240 200
add_image alpha a "$work/a.raw"
holdfast host limit alpha 10M >/dev/null # 20 s: it can't end before it is cancelled
begin_backup a
wait_for 30 has_arrived 40 || fail "nothing arrives"

step "a second job of the same VM"
expect_error 6 JOB_CONFLICT a holdfast backup a

step "cancel"
expect 0 holdfast job cancel "$job"
wait_job cancelled 20
expect 6 holdfast job cancel "$job"
said JOB_NOT_RUNNING
equal 0 "$(points a | wc -l)" "number of points"

holdfast host limit alpha none >/dev/null
step "the next backup reuses what had arrived"
backup a
less "$(value .sent_bytes rp show "$point")" $((180 * 1048576)) "bytes sent"
same_disk "$point" disk0 "$work/a.raw"
