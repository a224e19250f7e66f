#!/usr/bin/env bash
# The disks of one restore come at once: all bit for bit, with one limit for all of them; a cancel, a killed agent and a full
# file system leave the target as before.
. "$(dirname "$0")/../lib/test.sh"
requires cmp qemu-img
server_begin
agent_begin alpha

# of many sizes: several that are alike, one that is odd and short, one empty, one of another format
disks=()
for i in 0 1 2; do
    make_image "$work/d$i.raw" 16 4
    disks+=("$work/d$i.raw")
done
head -c 4608 /dev/urandom >"$work/d3.raw"
truncate -s 64M "$work/d4.raw"
qemu-img convert -q -f raw -O qcow2 "$work/d0.raw" "$work/d5.qcow2"
add_image alpha many "${disks[@]}" "$work/d3.raw" "$work/d4.raw" "$work/d5.qcow2"
equal 6 "$(value '.disks | length' vm show many)" "number of disks"
backup many

step 'to another directory'
mkdir "$work/elsewhere"
restore_elsewhere() { holdfast restore vm "$point" --to-host alpha --name copy --dir "$work/elsewhere" "$@"; }
expect 0 restore_elsewhere --wait
for i in 0 1 2 3 4; do same_file "$work/d$i.raw" "$work/elsewhere/copy-disk$i.raw"; done
qemu-img compare -q "$work/d5.qcow2" "$work/elsewhere/copy-disk5.qcow2" || fail "the qcow2 disk differs"
less "$(du -k "$work/elsewhere/copy-disk4.raw" | cut -f1)" 1024 "KiB of the empty disk"
equal "$(value .progress.total_bytes job show "$(last_job)")" "$(value .progress.done_bytes job show "$(last_job)")" "bytes done"
rm "$work"/elsewhere/*

step 'the limit is of the whole restore'
begun=$(date +%s)
expect 0 restore_elsewhere --bandwidth 4M --wait
less 2 $(($(date +%s) - begun)) "seconds for 16 MiB at 4 MiB/s"
for i in 0 1 2; do same_file "$work/d$i.raw" "$work/elsewhere/copy-disk$i.raw"; done
rm "$work"/elsewhere/*

# what a restore that fails must not change
sha256sum "$work"/d?.* >"$work/sums"
expect_as_before() {
    sha256sum --quiet -c "$work/sums" || fail "the original has changed"
    equal 6 "$(find "$work" -maxdepth 1 -name 'd?.*' | wc -l)" "number of files"
    [ -z "$(ls "$work/elsewhere")" ] || fail "left behind: $(ls "$work/elsewhere")"
}
for i in 0 1 2; do scribble "$work/d$i.raw" 5000 64; done
cp "$work/d0.raw" "$work/newer.raw"
sha256sum "$work"/d?.* >"$work/sums"

step 'the second disk begins before the first is complete'
job=$(value .id restore vm "$point" --to-original --bandwidth 256K)
has_blocks() { [ "$(du -k "$1" 2>/dev/null | cut -f1)" -ge "$2" ]; }
both_have_blocks() { has_blocks "$(echo "$work"/d0.raw.*)" 256 && has_blocks "$(echo "$work"/d1.raw.*)" 256; }
wait_for 60 both_have_blocks || fail "the disks do not come at once: $(ls -ls "$work")"
has_blocks "$(echo "$work"/d0.raw.*)" 4096 && fail "the first disk was complete before"

step 'cancelled in the middle'
holdfast job cancel "$job" >/dev/null
wait_job cancelled 60
expect_as_before

step 'the agent is killed in the middle'
job=$(value .id restore vm "$point" --to-original --bandwidth 256K)
wait_for 60 both_have_blocks || fail "the disks do not come at once"
kill_hard alpha
wait_for 20 host_is alpha unreachable || fail "the server does not notice that the agent has gone"
agent_start alpha
wait_job failed 60
expect_as_before

step 'no room for them'
mount -t tmpfs -o size=18M tmpfs "$work/elsewhere"
at_end 'umount "$work/elsewhere"'
expect_error 1 RESTORE_NO_SPACE copy restore_elsewhere --wait
expect_as_before

step 'over the original'
expect 0 holdfast restore vm "$point" --to-original --wait
! cmp -s "$work/newer.raw" "$work/d0.raw" || fail "nothing was restored"
for i in 0 1 2 3 4; do same_disk "$point" "disk$i" "$work/d$i.raw"; done
equal 6 "$(find "$work" -maxdepth 1 -name 'd?.*' | wc -l)" "number of files"
