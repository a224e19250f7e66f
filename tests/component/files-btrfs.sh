#!/usr/bin/env bash
# Files on btrfs: read from a snapshot of their subvolume, so that they are all of one instant; nothing is left of it, also
# after the agent was killed. Elsewhere: what changes meanwhile is told.
. "$(dirname "$0")/../lib/test.sh"
requires losetup mkfs.btrfs btrfs mount tar
server_begin
agent_begin alpha

warnings() { value '[.log[] | select(.level == "warning") | .message] | join("\n")' job show "$job"; }
snapshots() { find "$work/btrfs" -maxdepth 2 -name '.holdfast-*' | wc -l; }
no_snapshots() { [ "$(snapshots)" -eq 0 ] && [ -z "$(ls "$work/alpha/jobs" 2>/dev/null)" ]; }
has_snapshot() { [ "$(snapshots)" -gt 0 ]; }
# unpack POINT: into $work/unpacked.
unpack() {
    rm -rf "$work/unpacked" "$work/point.tar"
    mkdir "$work/unpacked"
    restore_disk "$1" files "$work/point.tar" raw
    tar -xf "$work/point.tar" -C "$work/unpacked"
}
# count_up DIRECTORY: two files, the second never ahead of the first; until the directory has a file "stop".
count_up() {
    local i
    for ((i = 1; ; i++)); do
        [ ! -e "$1/stop" ] || break
        echo "$i" >"$1/new" && mv "$1/new" "$1/zz-first"
        echo "$i" >"$1/new" && mv "$1/new" "$1/aa-second"
    done
}

truncate -s 256M "$work/btrfs.img"
device=$(losetup --find --show "$work/btrfs.img")
at_end "losetup --detach $device"
mkfs.btrfs -q "$device" >/dev/null
mkdir "$work/btrfs"
mount "$device" "$work/btrfs"
at_end "umount '$work/btrfs'"
btrfs -q subvolume create "$work/btrfs/volume" >/dev/null
mkdir "$work/btrfs/volume/data" "$work/btrfs/other" "$work/small"
btrfs -q subvolume create "$work/btrfs/volume/data/inner" >/dev/null
echo inner >"$work/btrfs/volume/data/inner/file"
head -c 8M /dev/urandom >"$work/btrfs/volume/data/big"
echo other >"$work/btrfs/other/file"

step "all of one instant, while they are written"
count_up "$work/btrfs/volume/data" &
counter=$!
at_end "touch '$work/btrfs/volume/data/stop'; wait $counter"
wait_for 20 test -e "$work/btrfs/volume/data/aa-second" || fail "nothing is written"
add_files alpha one "$work/btrfs/volume/data" "$work/btrfs/other"
for round in 1 2; do
    backup one
    equal filesystem "$(value .consistency rp show "$point")" "consistency"
    unpack "$point"
    first=$(cat "$work/unpacked$work/btrfs/volume/data/zz-first")
    second=$(cat "$work/unpacked$work/btrfs/volume/data/aa-second")
    [ "$second" -eq "$first" ] || equal $((first - 1)) "$second" "second count in round $round, of the same instant as $first,"
    wait_for 10 no_snapshots || fail "a snapshot was left"
done
grep -qx other "$work/unpacked$work/btrfs/other/file" || fail "a file of the other subvolume is missing"
[ -d "$work/unpacked$work/btrfs/volume/data/inner" ] || fail "the place of the inner subvolume is missing"
[ ! -e "$work/unpacked$work/btrfs/volume/data/inner/file" ] || fail "another subvolume was read"

step "the agent is killed while it reads: at its next start the snapshot goes"
head -c 20M /dev/urandom >"$work/btrfs/volume/data/bigger"
holdfast host limit alpha 1M >/dev/null
begin_backup one
wait_for 30 has_snapshot || fail "there is no snapshot"
kill_hard alpha
has_snapshot || fail "the snapshot is gone already"
holdfast host limit alpha none >/dev/null
agent_start alpha
wait_job completed
wait_for 20 no_snapshots || fail "the snapshot of the killed agent was left"

step "no snapshot where there can be none: what changed while it was read is told"
touch "$work/btrfs/volume/data/stop"
wait "$counter" || true
cp -r "$work/btrfs/other" "$work/small/other"
mkdir "$work/small/data"
add_files alpha two "$work/small"
backup two
equal crash "$(value .consistency rp show "$point")" "consistency"
(while [ ! -e "$work/small/data/stop" ]; do echo line >>"$work/small/data/log"; done) &
writer=$!
at_end "touch '$work/small/data/stop'; wait $writer || true"
changed() {
    begin_backup two
    wait_for 60 job_ended
    [ "$(job_field .state)" = completed-with-warnings ]
}
wait_for 100 changed || fail "a file changed all the time, and nobody was told"
warnings | grep -q "1 file changed while read: $work/small/data/log" || fail "the file is not named: $(warnings)"
point=$(job_field .point)
unpack "$point"
[ "$(sort -u "$work/unpacked$work/small/data/log" | grep -c line)" -eq 1 ] || fail "the file that changed is not there"

step "single files, and what is mounted below a directory"
mkdir "$work/small/mounted"
mount -t tmpfs none "$work/small/mounted"
at_end "! mountpoint -q '$work/small/mounted' || umount '$work/small/mounted'"
echo there >"$work/small/mounted/file"
touch "$work/small/data/stop"
add_files alpha three "$work/small" --exclude data
backup three
unpack "$point"
[ -d "$work/unpacked$work/small/mounted" ] || fail "the place of what is mounted is missing"
[ ! -e "$work/unpacked$work/small/mounted/file" ] || fail "what is mounted was read"
[ ! -e "$work/unpacked$work/small/data" ] || fail "what is excluded was read"
add_files alpha four "$work/small/other/file" "$work/small/mounted" --all-file-systems
backup four
unpack "$point"
equal 2 "$(find "$work/unpacked" -type f | wc -l)" "number of files"
expect 0 "$HOLDFAST_BIN/holdfast-agent" remove-files four --data "$work/alpha"
equal 3 "$(ls "$work/alpha/files" | wc -l)" "number of layouts that are kept"
expect_code VM_NOT_FOUND "$HOLDFAST_BIN/holdfast-agent" remove-files four --data "$work/alpha"
expect_code DISK_READ_FAILED "$HOLDFAST_BIN/holdfast-agent" add-files x "$work/nowhere" --data "$work/alpha"
expect_code REQUEST_INVALID "$HOLDFAST_BIN/holdfast-agent" add-files x "$work/small" "$work/small/other" --data "$work/alpha"
expect_code REQUEST_INVALID "$HOLDFAST_BIN/holdfast-agent" add-files a/b "$work/small" --data "$work/alpha"
expect_code NAME_TAKEN "$HOLDFAST_BIN/holdfast-agent" add-files one "$work/small" --data "$work/alpha"
expect 2 "$HOLDFAST_BIN/holdfast-agent" add-files one --data "$work/alpha"
