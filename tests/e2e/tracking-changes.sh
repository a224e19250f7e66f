#!/usr/bin/env bash
# What operators do to a VM's disks between two backups. Only the affected disk is read whole, and every point has what
# the disks had.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"

# how DISK: "incremental", or why it was read whole, in the last backup
how() {
    job_field '[(.reason // "") | split("; ")[] | capture("^(?<disks>[a-z, ]+): (?<why>.*)") |
        select(.disks | split(", ") | index("'"$1"'")) | .why] | first // "incremental"'
}
# expect_modes DISK=PATTERN...: a backup of web1 reads the disks so; then each point's disks equal the files.
expect_modes() {
    local expected
    holdfast backup web1 --wait >>"$work/backup.log" 2>&1 || { tail -n 5 "$work/backup.log" >&2; fail "the backup failed"; }
    job=$(last_job)
    point=$(newest_point web1)
    for expected in "$@"; do
        [[ $(how "${expected%%=*}") == ${expected#*=} ]] ||
            fail "${expected%%=*} is '$(how "${expected%%=*}")' instead of '${expected#*=}'"
    done
    guest_is web1 'shut off' || expect_clean_host web1
}
# write DISK OFFSET_MIB: a mebibyte of random bytes, past the guest's cache
write() { guest_run web1 "head -c 1M /dev/urandom | dd of=/dev/$1 bs=1M seek=$2 oflag=direct iflag=fullblock conv=notrunc,fsync status=none"; }

guest_begin web1
disks=$work/disks
# expect_tracked FILE [VDC [FORMAT]]: the next backup is incremental, of vdc as VDC says ("incremental"), and vdc has FILE's bytes.
expect_tracked() {
    expect_modes vda=incremental vdb=incremental "vdc=${2:-incremental}"
    expect_disk "$point" vdc "$1" "${3:-qcow2}"
}
attach() { # attach TARGET FILE FORMAT [OPTION...]
    local target=$1 file=$2 format=$3
    shift 3
    guest_virsh attach-disk web1 "$file" "$target" --targetbus virtio --driver qemu --subdriver "$format" --persistent "$@" >/dev/null
    wait_for 10 guest_run web1 "test -b /dev/$target" || fail "the guest does not see $target"
}

step 'a disk is added while the VM runs'
holdfast backup web1 --wait >/dev/null
qemu-img create -q -f qcow2 "$disks/c.qcow2" 64M
attach vdc "$disks/c.qcow2" qcow2
write vdc 3
expect_tracked "$disks/c.qcow2" '*added*'
write vdc 9
expect_tracked "$disks/c.qcow2"

step 'the metadata of the checkpoints is lost'
guest_virsh dumpxml web1 --inactive --security-info >"$work/web1.xml"
guest_virsh undefine web1 --checkpoints-metadata
write vdc 10
guest_virsh define "$work/web1.xml" >/dev/null
expect_tracked "$disks/c.qcow2"

step 'another tool has checkpoints of its own'
guest_virsh checkpoint-create-as web1 another >/dev/null
write vdc 11
expect_modes vda=incremental vdb=incremental vdc=incremental
guest_virsh checkpoint-list web1 --name | grep -x another >/dev/null || fail "somebody else's checkpoint is gone"
write vdc 12
expect_tracked "$disks/c.qcow2"
guest_virsh checkpoint-delete web1 another >/dev/null
write vdc 13
expect_tracked "$disks/c.qcow2"

step 'a disk grows while the VM runs'
guest_virsh blockresize web1 vdc 96M
write vdc 80
expect_tracked "$disks/c.qcow2" '*resized*'
write vdc 81
expect_tracked "$disks/c.qcow2"

step 'an external snapshot is taken and merged'
guest_virsh snapshot-create-as web1 s1 --disk-only --no-metadata --diskspec vda,snapshot=no --diskspec vdb,snapshot=no \
    --diskspec "vdc,file=$disks/c-overlay.qcow2" >/dev/null
write vdc 20
expect_tracked "$disks/c-overlay.qcow2" '*'
write vdc 21
expect_tracked "$disks/c-overlay.qcow2" '*'
write vdc 22
guest_virsh blockcommit web1 vdc --active --pivot --wait >/dev/null
write vdc 23
expect_tracked "$disks/c.qcow2" '*'
write vdc 24
expect_tracked "$disks/c.qcow2"

step 'a disk is removed'
guest_virsh detach-disk web1 vdc --persistent >/dev/null
gone() { # the guest lets go of it after some seconds, and libvirt hears of that later
    [ "$(guest_run web1 'test -b /dev/vdc || echo gone')" = gone ] && [[ $(guest_virsh domblklist web1) != *vdc* ]]
}
wait_for 20 gone || fail "vdc is still there"
expect_modes vda=incremental vdb=incremental
[ "$(value '.disks | length' rp show "$point")" = 2 ] || fail "a removed disk is in the backup"
expect_modes vda=incremental vdb=incremental

step 'raw disks keep no record: they are read whole, and say why'
truncate -s 64M "$disks/raw.raw"
attach vdc "$disks/raw.raw" raw
write vdc 5
expect_tracked "$disks/raw.raw" '*' raw
write vdc 6
expect_tracked "$disks/raw.raw" '*format*' raw
guest_virsh detach-disk web1 vdc --persistent >/dev/null
wait_for 20 gone || fail "vdc is still there"

step 'a disk on a block device'
truncate -s 64M "$work/device"
device=$(losetup --find --show "$work/device")
at_end "losetup -d $device"
attach vdc "$device" raw --sourcetype block
write vdc 7
expect_tracked "$work/device" '*' raw
guest_virsh detach-disk web1 vdc --persistent >/dev/null
wait_for 20 gone || fail "vdc is still there"

step 'the VM is paused'
guest_virsh suspend web1
holdfast backup web1 --wait >>"$work/backup.log"
[ "$(value .consistency rp show "$(newest_point web1)")" = crash ] || fail "a paused VM is crash-consistent"
guest_is web1 paused || fail "the operator's pause was ended"
guest_virsh resume web1
expect_modes vda=incremental vdb=incremental

step 'a disk is replaced by another one of the same size'
shut_down web1
qemu-img convert -O qcow2 "$guest_files/data.qcow2" "$disks/web1-data.qcow2"
boot web1
expect_modes vda=incremental 'vdb=*missing*'
expect_modes vda=incremental vdb=incremental

step 'a disk gets another target'
shut_down web1
guest_virsh dumpxml web1 --inactive --security-info | sed "s/dev='vdb'/dev='vdx'/" >"$work/web1.xml"
guest_virsh define "$work/web1.xml" >/dev/null
boot web1
expect_modes vda=incremental 'vdx=*added*'
expect_modes vda=incremental vdx=incremental
shut_down web1
sed -i "s/dev='vdx'/dev='vdb'/" "$work/web1.xml"
guest_virsh define "$work/web1.xml" >/dev/null

step 'qemu-img takes a snapshot of a VM that is off, and goes back to it'
qemu-img snapshot -c before "$disks/web1-data.qcow2"
boot web1
holdfast backup web1 --wait >/dev/null
guest_run web1 'head -c 2M /dev/urandom >/data/vdb/after; sync'
expect_modes vda=incremental vdb=incremental
shut_down web1
! qemu-img snapshot -a before "$disks/web1-data.qcow2" 2>/dev/null || fail "QEMU goes back below our record of changes"
for bitmap in $(qemu-img info --output=json "$disks/web1-data.qcow2" | jq -r '."format-specific".data.bitmaps[].name'); do
    qemu-img bitmap --remove "$disks/web1-data.qcow2" "$bitmap"
done
qemu-img snapshot -a before "$disks/web1-data.qcow2"
expect_modes 'vdb=*missing*'
expect_disk "$point" vdb "$disks/web1-data.qcow2"
boot web1
expect_modes vda=incremental vdb=incremental
holdfast store verify --wait >/dev/null
