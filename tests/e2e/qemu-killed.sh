#!/usr/bin/env bash
# QEMU is killed: change tracking is lost, and the next backup becomes a consistency check by itself and says why.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
holdfast backup web1 --wait
guest_run web1 'echo before >/data/vdb/story; sync'
kill -9 "$(cat "$work/libvirt/run/qemu/web1.pid" 2>/dev/null || cat "$(cat "$work/libvirt/socket-folder")/qemu/web1.pid")"
wait_for 30 guest_is web1 'shut off' || fail "libvirt did not notice"
boot web1
guest_run web1 'echo after >>/data/vdb/story; sync'
holdfast backup web1 --wait
expect_mode check
job_field '.reason' | grep TRACKING_LOST >/dev/null || fail "it does not say why: $(job_field .reason)"
[ "$(job_field .sent_bytes)" -lt $((16 * 1048576)) ] || fail "more than the difference travelled"
guest_run web1 'echo later >>/data/vdb/story; sync'
holdfast backup web1 --wait
expect_mode incremental
expect_clean_host web1
mkdir "$work/restored"
holdfast restore vm "$(newest_point web1)" --to-host alpha --name web2 --dir "$work/restored" --start --wait
guest_wait web2
[ "$(guest_run web2 'cat /data/vdb/story' | tr '\n' ' ')" = 'before after later ' ] || fail "the data is wrong"
