#!/usr/bin/env bash
# A first copy that came on a removable disk: the first backup sends only what differs, and is whole all the same. And
# a first backup at a chosen time.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
agent_begin beside # on the server's machine
random=200
make_image "$work/disk.raw" 256 $random
cp --sparse=always "$work/disk.raw" "$work/carried.raw"
scribble "$work/disk.raw" $((50 * 1024)) 4096 # the VM went on
add_image alpha web1 "$work/disk.raw"
add_image beside carried "$work/carried.raw"
holdfast policy create byhand --manual --keep-latest 5
holdfast group create web --policy byhand --vm web1
backup carried
carried=$point

step "the state before the first point"
equal waiting "$(value .protection vm show web1)" "protection"
holdfast vm show web1 >"$work/out"
grep -q 'protected, waiting for initial backup' "$work/out" || fail "vm show does not say what it waits for"

step "what can't be a seed"
truncate -s 250M "$work/small.raw"
make_image "$work/two-a.raw" 16 4
make_image "$work/two-b.raw" 16 4
add_image beside small "$work/small.raw"
add_image beside two "$work/two-a.raw" "$work/two-b.raw"
backup small
small=$point
backup two
expect_error 6 SEED_REFUSED 'Disk disk0 of web1 has 268435456 bytes' holdfast seed web1 --from "$small"
expect_error 5 VM_NOT_FOUND nothing holdfast seed nothing --from "$carried"
expect_error 5 RP_NOT_FOUND 01234567 holdfast seed web1 --from 01234567
expect_error 5 DISK_NOT_FOUND vdx holdfast seed web1 --from "$carried" --disk vdx=disk0
expect_error 5 DISK_NOT_FOUND vdx holdfast seed web1 --from "$carried" --disk disk0=vdx
expect_error 6 SEED_REFUSED 'has recovery points already' holdfast seed two --from "$carried"
expect 2 holdfast seed web1
expect 2 holdfast seed web1 --from "$carried" --disk disk0
equal null "$(value .seed vm show web1)" "the seed of a VM that has none"

step "seeded; forgotten, seeded again"
expect 0 holdfast seed web1 --from "$carried"
said "$carried" || fail "seed does not say from what"
equal "$carried" "$(value .seed vm show web1)" "the seed"
expect 0 holdfast seed web1 --forget
equal null "$(value .seed vm show web1)" "the seed that was forgotten"
expect 0 holdfast seed web1 --from "${carried:0:8}" --disk disk0=disk0
equal waiting "$(value .protection vm show web1)" "protection of a seeded VM"

step "the image and its point go, garbage is collected, the server is killed"
expect 0 holdfast rp delete "$carried" --now
expect_error 5 VM_NOT_FOUND nothing "$HOLDFAST_BIN/holdfast-agent" remove-image nothing --data "$work/beside"
expect 0 "$HOLDFAST_BIN/holdfast-agent" remove-image carried --data "$work/beside"
rm "$work/carried.raw"
expect 0 holdfast vm discover beside
equal false "$(value .present vm show beside/carried)" "the image that was removed is there"
expect 0 holdfast store gc --wait
kill_hard server
server_start
wait_for 60 host_is alpha connected || fail "the agent does not come back"
equal "$carried" "$(value .seed vm show web1)" "the seed after a restart"

step "the first backup"
backup web1
equal check "$(job_field .mode)" "mode of the first backup"
job_field .reason | grep -qF "seeded from recovery point $carried" || fail "the job does not say that it was seeded"
less "$(job_field .sent_bytes)" $((random * 1048576 / 20)) "bytes sent by the first backup"
first=$point
equal check "$(value .mode rp show "$first")" "mode of the point"
same_disk "$first" disk0 "$work/disk.raw"
equal protected "$(value .protection vm show web1)" "protection"
equal null "$(value .seed vm show web1)" "the seed behind the first point"
[ ! -e "$work/server/store/partials" ] || equal 0 "$(find "$work/server/store/partials" -type f | wc -l)" "partial maps left"
expect_error 6 SEED_REFUSED web1 holdfast seed web1 --from "$small"
expect 0 holdfast store gc --wait
expect 0 holdfast store verify --wait
same_disk "$first" disk0 "$work/disk.raw"

step "killed in the first backup: what was seeded is not lost"
make_image "$work/b.raw" 400 300
cp --sparse=always "$work/b.raw" "$work/b-carried.raw"
scribble "$work/b.raw" $((8 * 1024)) $((200 * 1024)) # read first, so the rest of the seed is needed by the second try
add_image alpha b "$work/b.raw"
add_image beside b-carried "$work/b-carried.raw"
backup b-carried
expect 0 holdfast seed b --from "$point"
before=$(du -sm "$work/server/store/containers" | cut -f1)
holdfast host limit alpha 15M >/dev/null # it can't end before the server is killed
begin_backup b
wait_for 60 has_arrived $((before + 60)) || fail "nothing arrives"
kill_hard server
server_start
holdfast host limit alpha none >/dev/null
wait_for 60 host_is alpha connected || fail "the agent does not come back"
wait_job completed
equal check "$(job_field .mode)" "mode of the second try"
point=$(job_field .point)
same_disk "$point" disk0 "$work/b.raw"
less "$(value .sent_bytes rp show "$point")" $((200 * 1048576)) "bytes sent by the second try"
equal null "$(value .seed vm show b)" "the seed behind the first point"

step "at a chosen time"
begin_backup web1 --at "$(date -u -d '+1 hour' +%FT%TZ)"
later=$job
equal queued "$(job_field .state)" "state of a job to come"
[ "$(job_field .next_attempt)" != null ] || fail "the job does not say when it starts"
holdfast job show "$later" >"$work/out"
grep -q '^Starts: ' "$work/out" || fail "job show does not say when it starts"
backup web1 # it stands in nobody's way
expect_error 2 REQUEST_INVALID past holdfast backup web1 --at 2020-01-31
begin_backup web1 --at "$(date -u -d '+12 seconds' +%FT%TZ)"
soon=$job
stop server
server_start
wait_for 60 host_is alpha connected || fail "the agent does not come back"
equal queued "$(value .state job show "$later")" "state of the job to come after a restart"
job=$soon
wait_job completed 60
equal 1 "$(job_field .attempt)" "the try in which it succeeded"
expect 0 holdfast job cancel "$later"
job=$later
wait_job cancelled
