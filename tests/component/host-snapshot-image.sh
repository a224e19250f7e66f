#!/usr/bin/env bash
# A snapshot of images stays on their host where the file system shares blocks (XFS), is found again by an agent that was
# killed, restores without the store, to files and to a block device, and is not missed when it has gone.
. "$(dirname "$0")/../lib/test.sh"
requires losetup mkfs.xfs mount qemu-img
server_begin

truncate -s 400M "$work/xfs.img"
mkfs.xfs -q -m reflink=1 "$work/xfs.img"
mkdir "$work/disks" "$work/plain"
mount -t tmpfs none "$work/plain" # never shares blocks
at_end 'umount "$work/plain"'
mount -o loop "$work/xfs.img" "$work/disks"
at_end 'umount "$work/disks"'
agent_begin alpha
clones() { find "$work/disks/.holdfast" -type f 2>/dev/null | wc -l; }
clone_of() { echo "$work/disks/.holdfast/"*"-$1-$2."*; } # clone_of POINT DISK
log_of() { value '.log[].message' job show "$(last_job)"; }
from_here() { log_of | grep -q 'from the snapshot on alpha; nothing was read from the store'; }
gone() { [ -z "$(find "$work/disks/.holdfast" -name "*-$1-*" 2>/dev/null)" ]; }
raw=$work/disks/one.raw qcow2=$work/disks/two.qcow2
head -c 2M /dev/urandom >"$raw"
truncate -s 6M "$raw"
qemu-img create -q -f qcow2 "$qcow2" 8M
qemu-io -c 'write -q -P 65 1M 64k' "$qcow2"
add_image alpha pair "$raw" "$qcow2"
head -c 1M /dev/urandom >"$work/plain/one.raw"
add_image alpha plain "$work/plain/one.raw"

step 'a policy says so: one stays'
holdfast policy create gold --manual --keep-latest 5 --snapshot-days 2 >/dev/null
holdfast group create web --policy gold --vm pair --vm plain >/dev/null
backup pair
first=$point
equal 2 "$(clones)" "the number of clones"
equal alpha "$(value .host_snapshot.host rp show "$first")" "the host of the snapshot"
log_of | grep -q 'The snapshot stays on alpha until [-0-9 :TZ.]*$' || { log_of >&2; fail "the log says something else"; }
same_file "$raw" "$(clone_of "$first" disk0)"
restore_disk "$first" disk1 "$work/stored.raw" raw
qemu-img compare -q -f raw -F qcow2 "$work/stored.raw" "$(clone_of "$first" disk1)" || fail "the point and the snapshot differ"
backup plain
equal completed "$(job_field .state)" "the state of the job"
log_of | grep -q "No snapshot stays on alpha: The file system can.t let files share blocks" || fail "no note tells why"
equal null "$(value .host_snapshot rp show "$point")" "the snapshot of the other image"

step 'both restore without the store, also after the agent was killed'
cp "$raw" "$work/raw.saved"
cp "$qcow2" "$work/qcow2.saved"
kill_hard alpha
agent_start alpha
for disk in "$raw:raw" "$qcow2:qcow2"; do
    qemu-io -f "${disk##*:}" -c 'write -q -P 66 0 2M' "${disk%:*}"
done
mv "$work/server/store/containers" "$work/away"
expect 0 holdfast restore vm "$first" --to-original --from-host-snapshot --wait
from_here || fail "it was not local"
same_file "$raw" "$work/raw.saved"
qemu-img compare -q "$qcow2" "$work/qcow2.saved" || fail "the second disk is another"
expect 0 holdfast restore vm "$first" --to-host alpha --name copy --dir "$work" --wait
from_here || fail "the snapshot was not preferred"
same_file "$work/copy-disk0.raw" "$work/raw.saved"
mv "$work/away" "$work/server/store/containers"

step 'to a block device'
holdfast group remove web plain >/dev/null
add_image alpha single "$raw"
holdfast group add web single >/dev/null
backup single
single=$point
head -c 9M /dev/urandom >"$work/device.img"
cp "$work/device.img" "$work/device.old"
device=$(losetup --find --show "$work/device.img")
at_end 'losetup --detach "$device"'
expect 0 holdfast restore vm "$single" --to-host alpha --name other --dir "$device" --from-host-snapshot --wait
from_here || fail "it was not local"
cmp -n 6291456 "$device" "$work/raw.saved" || fail "the device is not the disk"
cmp -i 6291456 "$device" "$work/device.old" || fail "the device was changed behind the disk"
truncate -s 4M "$work/small.img"
small=$(losetup --find --show "$work/small.img")
at_end 'losetup --detach "$small"'
expect_code RESTORE_NO_SPACE holdfast restore vm "$single" --to-host alpha --name other --dir "$small" --from-host-snapshot --wait

step 'gone when it is wanted: from the store, or not at all'
rm "$(clone_of "$first" disk1)"
scribble "$raw" 0 64
expect_code SNAPSHOT_GONE holdfast restore vm "$first" --to-original --from-host-snapshot --wait
! cmp -s "$raw" "$work/raw.saved" || fail "one disk was restored without the other"
expect 0 holdfast restore vm "$first" --to-original --wait
log_of | grep 'The disks come from the store' || fail "no note tells of it"
same_file "$raw" "$work/raw.saved"

step 'they go: deleted, the group removed, over their time'
backup single # the latest one can't be deleted
third=$point
holdfast rp delete "$single" >/dev/null
wait_for 20 gone "$single" || fail "a deleted snapshot stays"
backup pair
second=$point
stop alpha
record=$work/alpha/snapshots/jobs/$second.json
jq '.until_ms = 1' "$record" >"$work/record" && cp "$work/record" "$record"
agent_start alpha
wait_for 20 gone "$second" || fail "a snapshot stays longer than it should"
! gone "$third" || fail "another one has gone as well"
holdfast group remove web pair >/dev/null
holdfast group remove web single >/dev/null
holdfast group delete web >/dev/null
holdfast vm discover alpha >/dev/null
none_left() { [ ! -e "$work/disks/.holdfast" ]; }
wait_for 20 none_left || fail "a snapshot outlives the group"
no_records() { [ -z "$(find "$work/alpha/snapshots/jobs" -type f)" ]; } # each goes behind its files
wait_for 20 no_records || fail "records were left behind"
