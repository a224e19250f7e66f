#!/usr/bin/env bash
# QEMU is killed: change tracking is lost, and the next backup becomes a consistency check by itself and says why.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
holdfast backup web1 --wait
guest_run web1 'echo before >/data/vdb/story; sync'
kill -9 "$(cat "$work/libvirt/run/qemu/web1.pid" 2>/dev/null || cat "$(cat "$work/libvirt/socket-folder")/qemu/web1.pid")"
gone() { [ "$(guest_state web1)" = 'shut off' ]; }
wait_for 30 gone || fail "libvirt did not notice"
guest_virsh start web1 >/dev/null
guest_wait web1
guest_run web1 'echo after >>/data/vdb/story; sync'
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = check ] || fail "not a consistency check: $(job_field .mode)"
job_field '.reason' | grep -q TRACKING_LOST || fail "it does not say why: $(job_field .reason)"
[ "$(job_field .sent_bytes)" -lt $((16 * 1048576)) ] || fail "more than the difference travelled"
guest_run web1 'echo later >>/data/vdb/story; sync'
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = incremental ] || fail "tracking did not start again"
expect_clean_host web1
mkdir "$work/restored"
holdfast restore vm "$(newest_point web1)" --to-host alpha --name web2 --dir "$work/restored" --start --wait
guest_wait web2
[ "$(guest_run web2 'cat /data/vdb/story' | tr '\n' ' ')" = 'before after later ' ] || fail "the data is wrong"
