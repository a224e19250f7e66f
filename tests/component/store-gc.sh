#!/usr/bin/env bash
# What no recovery point needs any more is freed, also beside a backup; a kill in the middle of it loses nothing.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/a.raw" 400 200
add_image alpha a "$work/a.raw"
backup a
first=$point
scribble "$work/a.raw" 8192 $((150 * 1024))
backup a
second=$point
make_image "$work/b.raw" 400 300
add_image alpha b "$work/b.raw"
stored() { value .stored_bytes store status; }
full=$(stored)

step "nothing to free"
expect 0 holdfast store gc --dry-run --wait
expect 0 holdfast store gc --wait
less $((full - 1048576)) "$(stored)" "stored bytes after a collection of nothing"

step "a dry run frees nothing, a collection what the deleted point alone needed"
expect 0 holdfast rp delete "$first" --now
job=$(value .id store gc --dry-run)
wait_job completed
holdfast job show "$job" >"$work/out"
grep -q 'could be freed' "$work/out" || fail "a dry run does not say what it would free"
less $((full - 1048576)) "$(stored)" "stored bytes after a dry run"
begin_backup b
backup_job=$job
expect 0 holdfast store gc --wait
job=$backup_job
wait_job completed
of_b=$(job_field .point)
less "$(($(stored) - 300 * 1048576))" $((full - 140 * 1048576)) "stored bytes after the collection, without b"
same_disk "$second" disk0 "$work/a.raw"
same_disk "$of_b" disk0 "$work/b.raw"
expect 0 holdfast store verify --wait

step "killed in the middle"
expect 0 holdfast rp delete "$of_b" --now
job=$(value .id store gc)
kill_hard server
server_start
wait_for 60 job_ended || fail "the collection is neither ended nor taken up"
same_disk "$second" disk0 "$work/a.raw"
expect 0 holdfast store gc --wait
expect 0 holdfast store verify --wait
same_disk "$second" disk0 "$work/a.raw"
less "$(stored)" $((250 * 1048576)) "stored bytes at the end"
wait_for 60 host_is alpha connected
backup b
same_disk "$point" disk0 "$work/b.raw"
