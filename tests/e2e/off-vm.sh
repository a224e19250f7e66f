#!/usr/bin/env bash
# A VM that is off is backed up from its files, by its persistent bitmap when it has one, and stays in the chain.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
holdfast backup web1 --wait
guest_run web1 'head -c 4M /dev/urandom >/data/vdb/new; sync'
guest_virsh shutdown web1 --mode agent >/dev/null
off() { [ "$(guest_state web1)" = 'shut off' ]; }
wait_for 60 off || fail "the guest does not shut down"
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = incremental ] || fail "not incremental: $(job_field .reason)"
point=$(newest_point web1)
for disk in vda:root vdb:data; do
    holdfast restore disk "$point" ${disk%:*} --to "$work/${disk%:*}.raw" --format raw
    qemu-img compare -q -f raw -F qcow2 "$work/${disk%:*}.raw" "$work/disks/web1-${disk#*:}.qcow2" ||
        fail "${disk%:*} differs"
done
guest_virsh start web1 >/dev/null
guest_wait web1
guest_run web1 'echo on >/data/vdb/on; sync'
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = incremental ] || fail "the chain broke: $(job_field .reason)"
