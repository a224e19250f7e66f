#!/usr/bin/env bash
# A disk that shrinks while it is read fails the backup with its name; earlier points stay whole, the next succeeds.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/a.raw" 768 4
add_image alpha a "$work/a.raw"
backup a
first=$point
cp --sparse=always "$work/a.raw" "$work/first.raw"
scribble "$work/a.raw" 8192 $((700 * 1024))

holdfast host limit alpha 32M >/dev/null # it is under way for long enough to be met in the middle
begin_backup a
wait_for 30 has_arrived 24 || fail "nothing arrives"
kill -STOP "$(pid_of alpha)"
truncate -s 64M "$work/a.raw"
kill -CONT "$(pid_of alpha)"
holdfast host limit alpha none >/dev/null
# the try fails and says so; the next one, by itself, takes the disk as it is now
wait_job completed
why=$(value '.log[] | select(.code == "DISK_CHANGED" or .code == "DISK_READ_FAILED") | .message' job show "$job")
grep -q 'disk0\|a\.raw' <<<"$why" || fail "no try failed by the disk's name: $(value .log job show "$job")"
point=$(job_field .point)

same_disk "$first" disk0 "$work/first.raw"
equal 2 "$(points a | wc -l)" "number of points"
equal $((64 * 1048576)) "$(value '.disks[0].size' rp show "$point")" "size of the disk after it shrank"
same_disk "$point" disk0 "$work/a.raw"
