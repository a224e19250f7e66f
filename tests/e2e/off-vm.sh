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

step 'no bitmap at all: everything is read, and a new record begins in the files'
bitmaps() { qemu-img info -U --output=json "$work/disks/web1-$1.qcow2" | jq -r '."format-specific".data.bitmaps[]?.name'; }
shut_down() {
    guest_virsh shutdown web1 --mode agent >/dev/null
    wait_for 60 off || fail "the guest does not shut down"
}
shut_down
for disk in root data; do
    for bitmap in $(bitmaps $disk); do
        qemu-img bitmap --remove "$work/disks/web1-$disk.qcow2" "$bitmap"
    done
done
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = check ] || fail "not a consistency check: $(job_field .mode)"
for disk in root data; do
    [ "$(bitmaps $disk | wc -l)" = 1 ] || fail "bitmaps of $disk: $(bitmaps $disk)"
done
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = incremental ] || fail "the new record is not used: $(job_field .reason)"
guest_virsh start web1 >/dev/null
guest_wait web1
guest_run web1 'echo new >/data/vdb/new; sync'
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = incremental ] || fail "the new record is not used by libvirt: $(job_field .reason)"
expect_clean_host web1
shut_down
holdfast backup web1 --wait
point=$(newest_point web1)
for disk in vda:root vdb:data; do
    rm -f "$work/${disk%:*}.raw"
    holdfast restore disk "$point" ${disk%:*} --to "$work/${disk%:*}.raw" --format raw
    qemu-img compare -q -f raw -F qcow2 "$work/${disk%:*}.raw" "$work/disks/web1-${disk#*:}.qcow2" ||
        fail "${disk%:*} differs"
    [ "$(bitmaps "${disk#*:}" | wc -l)" -le 2 ] || fail "bitmaps pile up in $disk: $(bitmaps "${disk#*:}")"
done

step 'an older copy of the files is put back: its record is no longer ours'
cp "$work/disks/web1-data.qcow2" "$work/older.qcow2"
guest_virsh start web1 >/dev/null
guest_wait web1
guest_run web1 'head -c 3M /dev/urandom >/data/vdb/newer; sync'
shut_down
holdfast backup web1 --wait
cp "$work/older.qcow2" "$work/disks/web1-data.qcow2"
holdfast backup web1 --wait
rm -f "$work/vdb.raw"
holdfast restore disk "$(newest_point web1)" vdb --to "$work/vdb.raw" --format raw
qemu-img compare -q -f raw -F qcow2 "$work/vdb.raw" "$work/disks/web1-data.qcow2" || fail "vdb differs"
