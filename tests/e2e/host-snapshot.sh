#!/usr/bin/env bash
# A snapshot stays on the host after a backup where its storage can share blocks (XFS), for a qcow2 and a raw disk, and
# restores without the store. The guest stands still for it for an instant only, and goes on whatever happens.
. "$(dirname "$0")/../lib/test.sh"
requires mkfs.xfs mount losetup qemu-img
. "$top/tests/lib/guest.sh"

truncate -s 3G "$work/xfs.img"
mkfs.xfs -q -m reflink=1 "$work/xfs.img"
mkdir -p "$work/disks" "$work/plain"
mount -o loop "$work/xfs.img" "$work/disks"
at_end 'umount "$work/disks"' # registered first: after libvirt has ended
guest_edit_domain() { # the second disk is raw
    qemu-img convert -O raw "$work/disks/web1-data.qcow2" "$work/disks/web1-data.raw"
    rm "$work/disks/web1-data.qcow2"
    sed -i -e "/web1-data/s/qcow2/raw/" "$1"
    $python - "$1" <<'X'
import sys
text = open(sys.argv[1]).read()
first, second = text.rsplit("type='qcow2'", 1)
open(sys.argv[1], "w").write(first + "type='raw'" + second)
X
}
# The store's containers have a file system of their own, which can be full.
containers=$work/server/store/containers
server_begin() {
    server_init
    mkdir "$containers"
    mount -t tmpfs -o size=1g none "$containers"
    at_end 'umount -l "$containers"'
    server_start
}
agent_settings=$(printf 'snapshot-pause-ms = 30000\n') # this machine may be busy
guest_begin web1
clones() { find "$work/disks/.holdfast" -type f 2>/dev/null | wc -l; }
clone_of() { echo "$work/disks/.holdfast/"*"-$1-$2."*; } # clone_of POINT DISK
log_of() { holdfast job show "$1" --json | jq -r '.log[] | .message'; }
write_marker() { guest_run web1 "echo $1 >/root/marker; echo $1 >/data/vdb/marker; sync"; }
expect_marker() {
    [ "$(guest_run web1 'cat /root/marker /data/vdb/marker' | sort -u)" = "$1" ] || fail "the guest has not the state $1"
}

step 'no policy, no snapshot'
holdfast backup web1 --wait
[ "$(clones)" = 0 ] || fail "a snapshot was kept without a policy"

step 'a policy says so: one stays, qcow2 and raw'
holdfast policy create gold --manual --keep-latest 5 --snapshot-days 3 >/dev/null
equal 3 "$(value .snapshot_days policy show gold)" "the days of the policy"
expect 2 holdfast policy create lead --manual --keep-latest 5 --snapshot-days 6
holdfast group create web --policy gold --vm web1 >/dev/null
write_marker one
holdfast backup web1 --wait
point=$(newest_point web1)
equal 2 "$(clones)" "the number of clones"
equal alpha "$(value .host_snapshot.host rp show "$point")" "the host of the snapshot"
equal whole "$(value .state rp show "$point")" "the state of the point"
log_of "$(last_job)" | grep 'stood still' || fail "the log does not say how long the guest stood still"
equal 600 "$(stat -c %a "$(clone_of "$point" vda)")" "the mode of a clone"
expect_clean_host web1

step 'the guest writes, frozen or not: every clone is sound'
guest_run web1 '(while :; do head -c 3M /dev/urandom >/data/vdb/noise.$((RANDOM % 8)); head -c 1M /dev/urandom >/root/noise.$((RANDOM % 8)); done) >/dev/null 2>&1 & echo $! >/run/noise.pid'
for round in $(seq "${HOLDFAST_ROUNDS:-5}"); do
    [ "$round" != 2 ] || holdfast policy edit gold --consistency crash >/dev/null
    holdfast backup web1 --wait >/dev/null
    id=$(newest_point web1)
    log_of "$(last_job)" | grep -o 'stood still for .*\|frozen for .*'
    qemu-img check -q "$(clone_of "$id" vda)" || fail "the clone of round $round is damaged"
    cp --reflink=always "$(clone_of "$id" vdb)" "$work/disks/look.raw"
    e2fsck -p "$work/disks/look.raw" >"$work/e2fsck.log" 2>&1 || [ $? -le 1 ] || fail "round $round: the journal is damaged"
    e2fsck -fn "$work/disks/look.raw" >"$work/e2fsck.log" 2>&1 || fail "the file system of round $round is damaged"
    rm "$work/disks/look.raw"
done
holdfast policy edit gold --consistency filesystem >/dev/null
guest_run web1 'kill $(cat /run/noise.pid); sync; rm /root/noise.* /data/vdb/noise.*'

step 'the store is full: a backup completes with warnings, its state is on the host only'
guest_run web1 'head -c 64M /dev/urandom >/data/vdb/large; sync'
write_marker two
fallocate -l $(($(df --output=avail -B1 "$containers" | tail -n 1) - 8388608)) "$containers/fill"
expect 0 timeout 360 "$HOLDFAST_BIN/holdfast" backup web1 --wait
rm "$containers/fill"
job=$(last_job)
equal completed-with-warnings "$(job_field .state)" "the state of the job"
equal failed "$(job_field .phases.transfer.state)" "the state of the transfer"
only=$(job_field .point)
equal host-only "$(value .state rp show "$only")" "the state of the point"
equal "$only" "$(newest_point web1)" "the first point of the list"
equal STORE_FULL "$(job_field .error.code)" "why it is not in the store"
expect_error 6 RP_ON_HOST_ONLY alpha holdfast rp verify "$only" --wait
expect_error 6 RP_ON_HOST_ONLY alpha holdfast restore disk "$only" vda --to "$work/no.raw"

step 'both states restore without the store'
write_marker three
mount -t tmpfs none "$containers" # nothing is there now
expect_error 1 RESTORE_VM_RUNNING web1 holdfast restore vm "$only" --to-original --wait
local_restore() { # local_restore POINT OPTION...
    holdfast restore vm "$@" --to-original --from-host-snapshot --wait
    log_of "$(last_job)" | grep 'from the snapshot on alpha; nothing was read from the store' >/dev/null || fail "it was not local"
}
local_restore "$only" --stop --start
guest_wait web1
expect_marker two
guest_virsh destroy web1
local_restore "$point"
qemu-img compare -q "$work/disks/web1-root.qcow2" "$(clone_of "$point" vda)" || fail "the first disk is another"
same_file "$work/disks/web1-data.raw" "$(clone_of "$point" vdb)"
equal 0 "$(qemu-img info -U --output=json "$work/disks/web1-root.qcow2" | jq '."format-specific".data.bitmaps | length')" \
    "old bitmaps in the restored disk"
[ -z "$(find "$work/disks" -maxdepth 1 -name '*.holdfast-*')" ] || fail "files of a restore were left behind"

step 'with the store back, what is on the host is preferred, and the store is used when it is not'
[ -z "$(ls "$containers")" ] || fail "somebody used the store"
wait_for 10 umount "$containers" || fail "the store's directory is in use"
holdfast restore vm "$point" --to-original --wait
log_of "$(last_job)" | grep 'nothing was read from the store' >/dev/null || fail "the snapshot was not preferred"
holdfast restore vm "$point" --to-host alpha --name web9 --dir "$work/plain" --format raw --wait
log_of "$(last_job)" | grep 'bytes written' >/dev/null || fail "another format does not come from the store"
qemu-img compare -q -f raw -F qcow2 "$work/plain/web9-vda.raw" "$(clone_of "$point" vda)" ||
    fail "the point in the store and the snapshot differ"
guest_virsh undefine web9 >/dev/null
rm "$work"/plain/*

step 'a VM that is off; a file system that can not share blocks'
mount -t tmpfs none "$work/plain"
at_end 'umount "$work/plain"'
for place in web2:disks web3:plain; do
    name=${place%:*} file=$work/${place#*:}/${place%:*}.raw
    head -c 1M /dev/urandom >"$file"
    guest_virsh define /dev/stdin >/dev/null <<<"<domain type='qemu'><name>$name</name><memory unit='MiB'>64</memory><os>\
<type arch='x86_64' machine='q35'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>\
<source file='$file'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    holdfast vm discover alpha >/dev/null
    holdfast group add web "$name" >/dev/null
    holdfast backup "$name" --wait
    job=$(last_job)
    equal completed "$(job_field .state)" "the state of the job of $name"
done
log_of "$job" | grep 'No snapshot stays on alpha: The file system can.t let files share blocks' >/dev/null || fail "no note tells why"
equal information "$(job_field '.log[] | select(.code == "SNAPSHOT_NOT_KEPT") | .level')" "the level of the note"
equal null "$(value '.items[0].host_snapshot' rp list web3)" "the snapshot of web3"
[ ! -e "$work/plain/.holdfast" ] || fail "a directory was left behind"
same_file "$work/disks/web2.raw" "$(clone_of "$(newest_point web2)" vda)"

step 'they go: deleted, without protection, over their time, short of room'
gone() { [ -z "$(find "$work/disks/.holdfast" -name "*-$1-*" 2>/dev/null)" ]; }
holdfast rp delete "$only" >/dev/null
wait_for 10 gone "$only" || fail "a deleted snapshot stays"
expect 5 holdfast rp show "$only"
second=$(newest_point web2)
holdfast group remove web web2 >/dev/null
holdfast vm discover alpha >/dev/null
wait_for 10 gone "$second" || fail "the snapshot of an unprotected VM stays"
stop alpha
record=$work/alpha/snapshots/jobs/$point.json
jq '.until_ms = 1' "$record" >"$work/record" && cp "$work/record" "$record"
agent_start alpha --libvirt-uri "$libvirt_uri"
wait_for 10 gone "$point" || fail "a snapshot stays longer than it should"
not_kept() { [ "$(value .host_snapshot rp show "$point")" = null ]; }
wait_for 20 not_kept || fail "the server does not know that it has gone"
left=$(clones)
[ "$left" -ge 2 ] || fail "all snapshots have gone"
free=$(df --output=avail -B1 "$work/disks" | tail -n 1) size=$(df --output=size -B1 "$work/disks" | tail -n 1)
fallocate -l $((free - size / 20)) "$work/disks/fill"
none_left() { [ "$(clones)" = 0 ]; }
wait_for 30 none_left || fail "snapshots stay where room runs short"
holdfast backup web1 --wait
job=$(last_job)
equal completed "$(job_field .state)" "the state of the job"
log_of "$job" | grep 'No snapshot stays on alpha: Less than 20 %' || fail "no note tells of the room"
[ -z "$(find "$work/alpha/snapshots/jobs" -type f)" ] || fail "records were left behind"
rm "$work/disks/fill"
