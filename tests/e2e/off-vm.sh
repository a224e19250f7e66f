#!/usr/bin/env bash
# A VM that is off is backed up from its files, by its persistent bitmap when it has one, and stays in the chain.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
holdfast backup web1 --wait
guest_run web1 'head -c 4M /dev/urandom >/data/vdb/new; sync'
shut_down web1
holdfast backup web1 --wait
expect_mode incremental
point=$(newest_point web1)
for disk in vda:root vdb:data; do
    expect_disk "$point" ${disk%:*} "$work/disks/web1-${disk#*:}.qcow2"
done
boot web1
guest_run web1 'echo on >/data/vdb/on; sync'
holdfast backup web1 --wait
expect_mode incremental

step 'no bitmap at all: everything is read, and a new record begins in the files'
bitmaps() { qemu-img info -U --output=json "$work/disks/web1-$1.qcow2" | jq -r '."format-specific".data.bitmaps[]?.name'; }
shut_down web1
for disk in root data; do
    for bitmap in $(bitmaps $disk); do
        qemu-img bitmap --remove "$work/disks/web1-$disk.qcow2" "$bitmap"
    done
done
holdfast backup web1 --wait
expect_mode check
for disk in root data; do
    [ "$(bitmaps $disk | wc -l)" = 1 ] || fail "bitmaps of $disk: $(bitmaps $disk)"
done
holdfast backup web1 --wait
expect_mode incremental
boot web1
guest_run web1 'echo new >/data/vdb/new; sync'
holdfast backup web1 --wait
expect_mode incremental
expect_clean_host web1
shut_down web1
holdfast backup web1 --wait
point=$(newest_point web1)
for disk in vda:root vdb:data; do
    expect_disk "$point" ${disk%:*} "$work/disks/web1-${disk#*:}.qcow2"
    [ "$(bitmaps "${disk#*:}" | wc -l)" -le 2 ] || fail "bitmaps pile up in $disk: $(bitmaps "${disk#*:}")"
done

step 'an older copy of the files is put back: its record is no longer ours'
cp "$work/disks/web1-data.qcow2" "$work/older.qcow2"
boot web1
guest_run web1 'head -c 3M /dev/urandom >/data/vdb/newer; sync'
shut_down web1
holdfast backup web1 --wait
cp "$work/older.qcow2" "$work/disks/web1-data.qcow2"
holdfast backup web1 --wait
expect_disk "$(newest_point web1)" vdb "$work/disks/web1-data.qcow2"

step 'a snapshot in a file of its own is taken while the VM runs: what changed below it since the last point is not missed'
boot web1
guest_run web1 'head -c 2M /dev/urandom >/data/vdb/below; sync'
guest_virsh snapshot-create-as web1 s1 --disk-only --no-metadata --diskspec vda,snapshot=no \
    --diskspec "vdb,file=$work/disks/overlay.qcow2" >/dev/null
guest_run web1 'echo above >/data/vdb/above; sync'
shut_down web1
holdfast backup web1 --wait
expect_disk "$(newest_point web1)" vdb "$work/disks/overlay.qcow2"
holdfast backup web1 --wait
expect_mode incremental
