#!/usr/bin/env bash
# A server killed in the middle of a backup: no committed point is lost, and the job goes on by itself after the start.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/a.raw" 340 16
add_image alpha a "$work/a.raw"
backup a
first=$point
cp --sparse=always "$work/a.raw" "$work/first.raw"
scribble "$work/a.raw" $((32 * 1024)) $((300 * 1024))

holdfast host limit alpha 20M >/dev/null # it can't end before the server is killed
begin_backup a
wait_for 30 has_arrived 90 || fail "nothing arrives"
kill_hard server
arrived=$(du -sm "$work/server/store/containers" | cut -f1)
step "$arrived MiB had arrived"
server_start
holdfast host limit alpha none >/dev/null
wait_for 60 host_is alpha connected || fail "the agent does not come back"
same_disk "$first" disk0 "$work/first.raw"
wait_job completed
point=$(job_field .point)
value '.log[].code' job show "$job" | grep -q JOB_SERVER_RESTART || fail "the job does not say that the server restarted"
same_disk "$point" disk0 "$work/a.raw"
less "$(value .sent_bytes rp show "$point")" $(((300 - arrived / 4) * 1048576)) "bytes sent by the second try"

step "killed again, with nothing to do"
kill_hard server
server_start
equal 2 "$(points a | wc -l)" "number of points"
same_disk "$point" disk0 "$work/a.raw"
