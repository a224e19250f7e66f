#!/usr/bin/env bash
# Block devices of the agent's own host: mounted ones are backed up as they are at the moment, with a warning; a restore
# writes the device that was asked for and refuses one that is in use or too small. On loop devices.
# Its mounts are its own: in a namespace that something else makes meanwhile (QEMU's, say) they would stay when they are
# unmounted here, and the devices in use.
if [ -z "${BLOCK_DEVICE_APART:-}" ]; then
    BLOCK_DEVICE_APART=1 exec unshare --mount --propagation private -- bash "$0" "$@"
fi
. "$(dirname "$0")/../lib/test.sh"
# Nor are those of other tests kept here.
others=$(findmnt --raw --noheadings --output TARGET | grep -F '/holdfast-test.' | tac || true)
while read -r other; do umount "$(printf '%b' "$other")" 2>/dev/null || true; done <<<"$others"
requires losetup mkfs.ext4 mkfs.xfs mount
server_begin
agent_begin alpha

# loop_device FILE SIZE: sets device.
loop_device() {
    truncate -s "$2" "$1"
    device=$(losetup --find --show "$1")
    at_end "losetup --detach $device"
}
# mounted DEVICE POINT
mounted() {
    mkdir -p "$2"
    mount "$1" "$2"
    at_end "! mountpoint -q '$2' || umount '$2'"
}
warnings() { value '[.log[] | select(.level == "warning") | .message] | join("\n")' job show "$job"; }
# warned TEXT...: the last job completed with a warning that says this.
warned() {
    local text
    wait_job completed-with-warnings
    point=$(job_field .point)
    for text in "$@"; do
        grep -qF -- "$text" <<<"$(warnings)" || fail "no warning says \"$text\": $(warnings)"
    done
}
# as_in POINT DISK COMMAND...: with the disk of the point mounted at $work/look.
as_in() {
    local point=$1 disk=$2 status=0
    shift 2
    rm -f "$work/look.raw"
    restore_disk "$point" "$disk" "$work/look.raw" raw
    mkdir -p "$work/look"
    # writable: what is in a journal is replayed, as after a crash
    mount -o loop "$work/look.raw" "$work/look" 2>/dev/null || mount -o loop,nouuid "$work/look.raw" "$work/look"
    (cd "$work/look" && "$@") || status=1
    umount "$work/look"
    return "$status"
}

loop_device "$work/ext4.img" 64M
ext4=$device
loop_device "$work/xfs.img" 320M
xfs=$device
mkfs.ext4 -q "$ext4"
mkfs.xfs -q "$xfs"
mounted "$ext4" "$work/ext4"
mounted "$xfs" "$work/with space"
echo one >"$work/ext4/story"
echo one >"$work/with space/story"
add_image alpha pair "$ext4" "$xfs"

step "mounted devices: flushed, and a warning for each"
begin_backup pair
warned "$ext4 is mounted on $work/ext4" "$xfs is mounted on $work/with space" "LVM"
equal crash "$(value .consistency rp show "$point")" "consistency"
first=$point
as_in "$point" disk0 grep -qx one story || fail "what was written before the backup is missing (ext4)"
as_in "$point" disk1 grep -qx one story || fail "what was written before the backup is missing (xfs)"

step "what the last backup read is not read again from memory"
echo two >"$work/ext4/story"
echo two >"$work/with space/story"
begin_backup pair
warned "$ext4 is mounted on"
as_in "$point" disk0 grep -qx two story || fail "an old block was read (ext4)"
as_in "$point" disk1 grep -qx two story || fail "an old block was read (xfs)"

step "mounted devices are not written"
expect_code RESTORE_TARGET_IN_USE holdfast restore vm "$first" --to-original --wait
said "$work/ext4" || fail "the mount is not named"
umount "$work/ext4"
expect_code RESTORE_TARGET_IN_USE holdfast restore vm "$first" --to-original --wait
said "$xfs" || fail "the device is not named"
mount -o ro "$ext4" "$work/ext4"
grep -qx two "$work/ext4/story" || fail "a restore that was refused wrote to a device"
expect_code RESTORE_TARGET_IN_USE holdfast restore vm "$first" --to-original --wait

step "mounted read-only, or not at all: no warning"
umount "$work/with space"
backup pair
grep -q . <<<"$(warnings)" && fail "a warning: $(warnings)"

step "to the original devices"
umount "$work/ext4"
expect 0 holdfast restore vm "$first" --to-original --wait
mount "$ext4" "$work/ext4"
mount "$xfs" "$work/with space"
grep -qx one "$work/ext4/story" || fail "the ext4 file system was not restored"
grep -qx one "$work/with space/story" || fail "the xfs file system was not restored"
umount "$work/ext4" "$work/with space"

step "to another device, by the agent and by the command line"
add_image alpha single "$ext4"
backup single
loop_device "$work/other.img" 80M
other=$device
loop_device "$work/small.img" 60M
small=$device
scribble "$other" 0 $((80 * 1024))
scribble "$small" 0 1024
sync "$small" "$work/small.img"
sum=$(sha256sum <"$work/small.img")
expect 0 holdfast restore vm "$point" --to-host alpha --name copy --dir "$other" --wait
same_file <(head -c 64M "$other") "$ext4"
scribble "$other" 0 2048
expect 0 holdfast restore disk "$point" disk0 --to "$other"
same_file <(head -c 64M "$other") "$ext4"
[ -b "$other" ] || fail "the device has become something else"

step "too small, in use, missing, too many"
expect_code RESTORE_NO_SPACE holdfast restore vm "$point" --to-host alpha --name copy --dir "$small" --wait
said "$small" || fail "the device is not named"
expect_code RESTORE_NO_SPACE holdfast restore disk "$point" disk0 --to "$small"
equal "$sum" "$(sync "$small"; sha256sum <"$work/small.img")" "sum of the device that is too small"
mounted "$other" "$work/other"
expect_code RESTORE_TARGET_IN_USE holdfast restore vm "$point" --to-host alpha --name copy --dir "$other" --wait
expect_code RESTORE_TARGET_IN_USE holdfast restore disk "$point" disk0 --to "$other"
umount "$work/other"
expect_code REQUEST_INVALID holdfast restore disk "$point" disk0 --to "$other" --format qcow2
expect_code REQUEST_INVALID holdfast restore vm "$first" --to-host alpha --name copy --dir "$other" --wait

step "mounted where the agent can't see it"
unshare --mount --propagation private -- sh -c 'mount "$0" "$1" && : >"$2" && exec sleep 600' "$ext4" "$work/ext4" \
    "$work/hidden" &
hidden=$!
at_end "! kill $hidden 2>/dev/null || wait $hidden || true"
wait_for 10 test -e "$work/hidden" || fail "$ext4 could not be mounted elsewhere"
mountpoint -q "$work/ext4" && fail "$ext4 is mounted here, too"
begin_backup single
warned "$ext4 is in use on this host"
expect_code RESTORE_TARGET_IN_USE holdfast restore vm "$point" --to-original --wait
said "$ext4 is in use on this host" || fail "the device is not named"
kill "$hidden"
wait "$hidden" || true

step "a link that leads to another device now is followed; one that leads nowhere is refused"
ln -s "$ext4" "$work/volume"
add_image alpha link "$work/volume"
backup link
equal "$work/volume" "$(value '.disks[0].path' vm show link)" "path of the disk"
ln -sfn "$other" "$work/volume"
scribble "$other" 0 1024
expect 0 holdfast restore vm "$point" --to-original --wait
same_file <(head -c 64M "$other") "$ext4"
rm "$work/volume"
ln -s /dev/holdfast-missing "$work/volume"
expect_code RESTORE_TARGET_MISSING holdfast restore vm "$point" --to-original --wait
[ ! -e /dev/holdfast-missing ] || fail "a file was made in /dev"
