#!/usr/bin/env bash
# An agent killed in the middle of a backup: the job is tried again when the agent is back and reuses what had arrived.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/a.raw" 640 600
add_image alpha a "$work/a.raw"
holdfast host limit alpha 32M >/dev/null # it is under way for long enough to be met in the middle
begin_backup a
wait_for 30 has_arrived 100 || fail "nothing arrives"
kill_hard alpha
wait_for 20 host_is alpha unreachable || fail "the server does not notice that the agent has gone"
arrived=$(du -sm "$work/server/store/containers" | cut -f1)
step "$arrived MiB had arrived"
holdfast host limit alpha none >/dev/null
agent_start alpha
wait_job completed
point=$(job_field .point)
value '.log[].code' job show "$job" | grep -q JOB_LOST_AGENT || fail "the job does not say that it lost the agent"
same_disk "$point" disk0 "$work/a.raw"
less "$(value .sent_bytes rp show "$point")" $(((600 - arrived / 2) * 1048576)) "bytes sent by the second try"
less "$(du -sm "$work/server/store/containers" | cut -f1)" 640 "MiB stored"
