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

begin_backup a
wait_for 30 has_arrived 24 || fail "nothing arrives"
kill -STOP "$(pid_of alpha)"
truncate -s 64M "$work/a.raw"
kill -CONT "$(pid_of alpha)"
wait_job failed
case $(job_field .error.code) in
DISK_CHANGED | DISK_READ_FAILED) ;;
*) fail "the job's error is $(job_field .error.code)" ;;
esac
job_field .error.message | grep -q 'disk0\|a\.raw' || fail "the disk is not named: $(job_field .error.message)"

same_disk "$first" disk0 "$work/first.raw"
equal 1 "$(points a | wc -l)" "number of points"
backup a
equal $((64 * 1048576)) "$(value '.disks[0].size' rp show "$point")" "size of the disk after it shrank"
same_disk "$point" disk0 "$work/a.raw"
