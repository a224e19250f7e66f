#!/usr/bin/env bash
# An image as a datasource: the first backup sends what is allocated, the second what differs, every point restores whole.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/disk.img" 96 30
add_image alpha web1 "$work/disk.img"
cp --sparse=always "$work/disk.img" "$work/first.img"

holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = full ] || fail "the first backup is not full"
sent=$(job_field .sent_bytes)
[ "$sent" -lt $((50 * 1048576)) ] || fail "holes or compressible data travelled: $sent bytes"
first=$(newest_point web1)

scribble "$work/disk.img" $((20 * 1024)) 4096
cp --sparse=always "$work/disk.img" "$work/second.img"
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = check ] || fail "without change tracking the second backup is a consistency check"
sent=$(job_field .sent_bytes)
[ "$sent" -lt $((5 * 1048576)) ] || fail "4 MiB changed and $sent bytes travelled"
second=$(newest_point web1)
[ "$(holdfast --json rp show "$second" | jq -r .parent)" = "$first" ] || fail "the second point has another parent"

# nothing changed: nothing travels
holdfast check web1 --wait
job=$(last_job)
[ "$(job_field .sent_bytes)" -lt 100000 ] || fail "an unchanged image travelled"
# a full backup reads and sends anew, and is deduplicated on arrival
holdfast backup web1 --full --wait
job=$(last_job)
[ "$(job_field .mode)" = full ] || fail "--full is not full"
[ "$(job_field .stored_bytes)" -lt 1000000 ] || fail "known chunks were stored again"

# as a new image, and in place
mkdir "$work/restored"
holdfast restore vm "$first" --to-host alpha --name copy --dir "$work/restored" --wait
same_file "$(find "$work/restored" -type f)" "$work/first.img"
[ "$(du -k "$(find "$work/restored" -type f)" | cut -f1)" -lt $((80 * 1024)) ] || fail "holes were filled"
holdfast restore vm "$first" --to-original --wait
same_file "$work/disk.img" "$work/first.img"
holdfast restore vm "$second" --to-original --wait
same_file "$work/disk.img" "$work/second.img"
expect_code RESTORE_TARGET_MISSING holdfast restore vm "$first" --to-host alpha --name copy2 --dir "$work/nowhere" --wait

# deleted points are gone, the others whole
holdfast rp delete "$first" --now
expect_code RP_NOT_FOUND holdfast restore disk "$first" disk0 --to "$work/x.img" --format raw
holdfast store verify --wait
holdfast restore vm "$second" --to-original --wait
same_file "$work/disk.img" "$work/second.img"

# the clock of a host that is slow does not make its points old
stop alpha
wait_for 20 host_is alpha unreachable || fail "the server does not notice that the agent has gone"
printf -- '-240 0\n' >"$work/slow"
ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 LD_PRELOAD=$HOLDFAST_TESTS/clock_shift.so \
    HOLDFAST_CLOCK_SHIFT=$work/slow agent_start alpha
holdfast backup web1 --wait
job=$(last_job)
[[ ! "$(value .time rp show "$(newest_point web1)")" < "$(job_field .started)" ]] || fail "the point is older than its job"
holdfast job show "$job" | grep 'The clock of host alpha is slow' >/dev/null || fail "nobody is told"
