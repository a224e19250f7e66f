#!/usr/bin/env bash
# The agent is killed in the middle of a backup: the guest is thawed, the next start leaves nothing behind, the next try
# succeeds.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/guest.sh"
world_with_guest web1
guest_run web1 'head -c 300M /dev/urandom >/data/vdb/large; sync'
cli backup web1
job=$(last_job)
transferring() { [ "$(job_field "$job" .progress.done_bytes)" -gt $((32 * 1048576)) ]; }
wait_for 60 transferring || fail "the backup does not begin"
agent_stop -KILL
thawed() { [ "$(guest_virsh qemu-agent-command web1 '{"execute":"guest-fsfreeze-status"}' | jq -r .return)" = thawed ]; }
wait_for 30 thawed || fail "the guest stays frozen"
guest_run web1 'echo alive >/data/vdb/alive; sync'
agent_start --libvirt-uri "$libvirt_uri"
wait_for 240 job_is_over "$job" || fail "the job does not end"
[ "$(job_field "$job" .state)" = completed ] || fail "the next try failed: $(job_field "$job" .error)"
expect_clean_host web1
[ "$(guest_state web1)" = running ] || fail "the guest does not run"
