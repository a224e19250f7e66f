#!/usr/bin/env bash
# Agent and server killed in the middle of a backup: nothing committed is lost, nothing is left behind, and the next try
# does not send again what had arrived.
. "$(dirname "$0")/../lib/world.sh"
. "$top/tests/lib/images.sh"
make_image "$world/disk.img" 24
head -c 768M /dev/urandom >"$world/large.img"
world_with_image small "$world/disk.img"
add_image large "$world/large.img"
cli vm discover
wait_for 30 vm_known large || fail "the second image is not known"
cli backup small --wait
point=$(newest_point small)
cp "$world/disk.img" "$world/first.img"

transferred() { [ "$(job_field "$job" .progress.done_bytes)" -gt $((320 * 1048576)) ]; }

# the agent
cli backup large
job=$(last_job)
wait_for 60 transferred || fail "the backup did not get anywhere"
agent_stop -KILL
wait_for 60 host_is unreachable || fail "the server did not notice"
agent_start
wait_for 180 job_is_over "$job" || fail "the job does not end"
[ "$(job_field "$job" .state)" = completed ] || fail "the next try did not succeed: $(job_field "$job" .error)"
sent=$(job_field "$job" .sent_bytes)
[ "$sent" -lt $((640 * 1048576)) ] || fail "what had arrived was sent again: $sent bytes"
cli rp delete "$(newest_point large)"

# the server
change_image "$world/large.img" 0 700
cli backup large
job=$(last_job)
wait_for 60 transferred || fail "the second backup did not get anywhere"
server_stop -KILL
server_start
wait_for 60 host_is connected || fail "the agent did not come back"
wait_for 180 job_is_over "$job" || fail "the job does not end"
[ "$(job_field "$job" .state)" = completed ] || fail "the try after the restart did not succeed"

# what was committed before is whole
cli store verify --wait
change_image "$world/disk.img" 0 2
cli restore vm "$point" --to-original --wait
same_file "$world/disk.img" "$world/first.img"
cli restore disk "$(newest_point large)" disk0 --to "$world/out.img" --format raw
same_file "$world/out.img" "$world/large.img"
