#!/usr/bin/env bash
# A disk of a point as a file, bit for bit, in every format.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
requires qemu-img
make_image "$world/disk.img" 48
qemu-img create -q -f qcow2 "$world/second.qcow2" 64M
qemu-io -f qcow2 -c 'write -P 7 1M 3M' -c 'write -P 9 40M 64k' "$world/second.qcow2" >/dev/null
world_with_image web1 "$world/disk.img" "$world/second.qcow2"
cli backup web1 --wait
point=$(newest_point web1)

cli restore disk "$point" disk0 --to "$world/out.raw" --format raw
same_file "$world/out.raw" "$world/disk.img"
[ "$(stat -c %s "$world/out.raw")" -eq "$(stat -c %s "$world/disk.img")" ] || fail "the size differs"
for format in qcow2 vhdx; do
    cli restore disk "$point" disk1 --to "$world/out.$format" --format $format
    qemu-img compare -q -f $format -F qcow2 "$world/out.$format" "$world/second.qcow2" || fail "$format differs"
done
# a file that exists is not touched
cp "$world/out.raw" "$world/before"
expect_code RESTORE_PATH_EXISTS cli restore disk "$point" disk0 --to "$world/out.raw" --format raw
same_file "$world/out.raw" "$world/before"
expect_code DISK_NOT_FOUND cli restore disk "$point" disk7 --to "$world/none.raw" --format raw
[ ! -e "$world/none.raw" ] || fail "a failed restore left a file"
expect_status 5 cli restore disk 00000000-0000-4000-8000-000000000000 disk0 --to "$world/none.raw" --format raw
