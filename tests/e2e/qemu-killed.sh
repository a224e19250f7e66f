#!/usr/bin/env bash
# QEMU is killed: change tracking is lost, and the next backup becomes a consistency check by itself and says why.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/guest.sh"
world_with_guest web1
cli backup web1 --wait
guest_run web1 'echo before >/data/vdb/story; sync'
kill -9 "$(cat "$world/libvirt/run/qemu/web1.pid" 2>/dev/null || cat "$(cat "$world/libvirt/socket-folder")/qemu/web1.pid")"
gone() { [ "$(guest_state web1)" = 'shut off' ]; }
wait_for 30 gone || fail "libvirt did not notice"
guest_virsh start web1 >/dev/null
guest_wait web1
guest_run web1 'echo after >>/data/vdb/story; sync'
cli backup web1 --wait
job=$(last_job)
[ "$(job_field "$job" .mode)" = check ] || fail "not a consistency check: $(job_field "$job" .mode)"
job_field "$job" '.reason' | grep -q TRACKING_LOST || fail "it does not say why: $(job_field "$job" .reason)"
[ "$(job_field "$job" .sent_bytes)" -lt $((16 * 1048576)) ] || fail "more than the difference travelled"
guest_run web1 'echo later >>/data/vdb/story; sync'
cli backup web1 --wait
[ "$(job_field "$(last_job)" .mode)" = incremental ] || fail "tracking did not start again"
expect_clean_host web1
mkdir "$world/restored"
cli restore vm "$(newest_point web1)" --to-host "$(host_name)" --name web2 --dir "$world/restored" --start --wait
guest_wait web2
[ "$(guest_run web2 'cat /data/vdb/story' | tr '\n' ' ')" = 'before after later ' ] || fail "the data is wrong"
