#!/usr/bin/env bash
# A datasource of two disks, one of them qcow2: both are read through their formats and restored bit for bit.
. "$(dirname "$0")/../lib/test.sh"
requires qemu-img
server_begin
agent_begin alpha
make_image "$work/one.raw" 64 8
make_image "$work/two.raw" 96 8
qemu-img convert -f raw -O qcow2 "$work/two.raw" "$work/two.qcow2"
add_image alpha pair "$work/one.raw" "$work/two.qcow2"
backup pair
equal 2 "$(value '.disks | length' rp show "$point")" "number of disks"
equal qcow2 "$(value '.disks[1].format' rp show "$point")" "format of the second disk"
same_disk "$point" disk0 "$work/one.raw"
same_disk "$point" disk1 "$work/two.raw"
