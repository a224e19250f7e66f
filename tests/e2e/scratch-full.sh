#!/usr/bin/env bash
# Scratch runs short while the guest writes: the backup is given up before QEMU would pause the guest.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
agent_settings='scratch-max-bytes = 8M'
# before libvirt, which would not see it
mkdir "$work/small"
mount -t tmpfs -o size=80M tmpfs "$work/small"
at_end 'umount "$work/small"'
guest_begin web1
guest_run web1 'head -c 200M /dev/urandom >/data/vdb/large; sync'
# overwrites what the backup has not read yet: copy-before-write goes to scratch
guest_run web1 '(for i in 1 2; do
    dd if=/dev/urandom of=/data/vdb/large bs=1M count=200 conv=notrunc,fsync 2>/dev/null; done
    touch /data/vdb/written) >/dev/null 2>&1 &
    sleep 0.5'
holdfast backup web1 --wait || true
job=$(last_job)
case $(job_field .state) in
failed) [ "$(job_field .error.code)" = SCRATCH_SPACE_LOW ] || fail "$(job_field .error)" ;;
completed) printf 'the backup was quicker than the guest\n' ;;
*) fail "the job is $(job_field .state)" ;;
esac
[ "$(guest_state web1)" = running ] || fail "the guest is $(guest_state web1)"
guest_run web1 'echo alive >/data/vdb/alive; sync'
written() { [ "$(guest_run web1 'ls /data/vdb/written')" = /data/vdb/written ]; }
wait_for 180 written || fail "the guest does not come to its end"
holdfast backup web1 --wait
expect_clean_host web1

step 'a directory with too little room: the backup does not begin, and says what is needed'
stop alpha
printf 'scratch-directory = %s\n' "$work/small" >"$work/alpha/agent.conf"
agent_start alpha --libvirt-uri "$libvirt_uri"
expect_error 1 SCRATCH_SPACE_LOW "$work/small" holdfast backup web1 --wait
expect_clean_host web1
mount -o remount,size=400M "$work/small"
holdfast backup web1 --wait
expect_mode incremental
