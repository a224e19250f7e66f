#!/usr/bin/env bash
# Scratch runs short while the guest writes: the backup is given up before QEMU would pause the guest.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
agent_settings='scratch-max-bytes = 8M'
guest_begin web1
guest_run web1 'head -c 400M /dev/urandom >/data/vdb/large; sync'
# overwrites what the backup has not read yet: copy-before-write goes to scratch
guest_run web1 '(for i in 1 2 3 4 5 6; do
    dd if=/dev/urandom of=/data/vdb/large bs=1M count=400 conv=notrunc,fsync 2>/dev/null; done) >/dev/null 2>&1 &
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
quiet() { guest_run web1 '! pgrep -x dd >/dev/null 2>&1 && ! ps 2>/dev/null | grep -q "[d]d if"'; }
wait_for 120 quiet || true
holdfast backup web1 --wait
expect_clean_host web1
