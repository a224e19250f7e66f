#!/usr/bin/env bash
# The agent is killed in the middle of a backup: the guest is thawed, the next start leaves nothing behind, the next try
# succeeds.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
guest_run web1 'head -c 300M /dev/urandom >/data/vdb/large; sync'
holdfast backup web1
job=$(last_job)
transferring() { [ "$(job_field .progress.done_bytes)" -gt $((32 * 1048576)) ]; }
wait_for 60 transferring || fail "the backup does not begin"
kill_hard alpha
wait_for 30 guest_freeze_is web1 thawed || fail "the guest stays frozen"
guest_run web1 'echo alive >/data/vdb/alive; sync'
agent_start alpha --libvirt-uri "$libvirt_uri"
wait_for 240 job_ended || fail "the job does not end"
[ "$(job_field .state)" = completed ] || fail "the next try failed: $(job_field .error)"
expect_clean_host web1
[ "$(guest_state web1)" = running ] || fail "the guest does not run"
