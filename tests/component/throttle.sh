#!/usr/bin/env bash
# Limits of hosts and jobs are kept, by backups and restores, and change while a job runs; a drained host gets no job.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
head -c 32M /dev/urandom >"$work/disk.raw"
add_image alpha image "$work/disk.raw"

# seconds COMMAND...: how long it took
seconds() {
    local begun
    begun=$(date +%s)
    "$@" >>"$work/timed.log" 2>&1 || fail "$* failed"
    printf '%s\n' $(($(date +%s) - begun))
}

step 'what is no limit'
expect 2 holdfast host limit alpha fast
expect_error 2 REQUEST_INVALID "262144" holdfast host limit alpha 64K
expect_error 2 SCHEDULE_INVALID "8-18" holdfast host limit alpha 20M --hours 8-18
expect_error 2 SCHEDULE_INVALID "Mars/Base" holdfast host limit alpha 20M --timezone Mars/Base
expect_error 5 HOST_NOT_FOUND beta holdfast host limit beta 20M

step 'the limit of a host: a backup, then a restore of it'
holdfast host limit alpha 4M >"$work/limit.log"
grep -q '4.0 MiB/s' "$work/limit.log" || fail "$(cat "$work/limit.log")"
took=$(seconds holdfast backup image --wait)
less 5 "$took" "seconds for 32 MiB at 4 MiB/s"
mkdir "$work/restored"
took=$(seconds holdfast restore vm "$(newest_point image)" --to-host alpha --name copy --dir "$work/restored" --wait)
less 5 "$took" "seconds for 32 MiB at 4 MiB/s"
same_file "$work/disk.raw" "$work/restored/copy-disk0.raw"

step 'it survives the server, and counts at its hours only'
stop server
server_start
wait_for 30 host_is alpha connected || fail "the agent does not come back"
equal 4194304 "$(value .bandwidth.bytes_per_second host show alpha)" "the limit"
other=$(date -u -d '+6 hours' +%H:%M)-$(date -u -d '+7 hours' +%H:%M)
holdfast host limit alpha 256K --hours "$other" >/dev/null
scribble "$work/disk.raw" 0 32768
less "$(seconds holdfast backup image --wait)" 120 "seconds when no limit counts" # 128 s at 256 KiB/s

step 'a job at 256 KiB/s is let go'
is_running() { [ "$(job_field .state)" = running ]; }
holdfast host limit alpha 256K >/dev/null
scribble "$work/disk.raw" 0 16384
begin_backup image
wait_for 30 is_running || fail "the job does not start: $(job_field .state)"
sleep 3
is_running || fail "the limit is not kept: $(job_field .state)"
holdfast host limit alpha none >/dev/null
wait_job completed 60

step 'a job at 256 KiB/s is cancelled'
scribble "$work/disk.raw" 0 16384
begin_backup image --bandwidth 256K
wait_for 30 is_running || fail "the job does not start: $(job_field .state)"
holdfast job cancel "$job" >/dev/null
wait_job cancelled 30

step 'a drained host: what runs ends, nothing starts, until it is resumed'
begin_backup image --bandwidth 4M
has_begun() { [ "$(job_field .state)" != queued ]; }
wait_for 30 has_begun || fail "the job does not start"
holdfast host drain alpha --wait >"$work/drain.log"
job_ended || fail "the drain did not wait for the job"
expect_error 6 HOST_DRAINED alpha holdfast backup image --wait
equal true "$(value .draining host show alpha)" "draining"
holdfast host resume alpha >/dev/null
backup image
same_disk "$point" disk0 "$work/disk.raw"

step 'it ends when the agent comes back with another version'
holdfast host drain alpha >/dev/null
stop alpha
wait_for 20 host_is alpha unreachable || fail "the server does not notice that the agent has gone"
sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "UPDATE hosts SET software = '0.0.9'"
agent_start alpha
equal false "$(value .draining host show alpha)" "draining"
