#!/usr/bin/env bash
# A server killed with a job in every state: each goes on or has failed with a reason afterwards, none is stuck. Old jobs are
# forgotten after a year.
. "$(dirname "$0")/../lib/test.sh"
requires jq "$python"
server_init
printf 'max-attempts = 3\n' >>"$work/server/holdfastd.conf"
server_start
for host in alpha beta gamma; do agent_begin "$host"; done
for image in alpha/done beta/sent beta/restored gamma/stopped alpha/waits; do
    head -c 24M /dev/urandom >"$work/${image#*/}.raw"
    add_image "${image%/*}" "${image#*/}" "$work/${image#*/}.raw"
done
backup done
committed=$job committed_point=$point
backup restored
holdfast store verify --wait >/dev/null
verified=$(last_job)
holdfast store gc --wait >/dev/null
collected=$(last_job)
holdfast store rebuild --wait >/dev/null
rebuilt=$(last_job)

step "a job in each state"
state_of() { value .state job show "$1"; }
in_phase() { [ "$(value ".phases.$2.state" job show "$1")" = "$3" ]; }
mkdir "$work/copy"
holdfast host limit beta 256K >/dev/null
begin_backup sent # 96 seconds and more, as the restore
transferring=$job
restoring=$(value .id restore vm "$point" --to-host beta --name copy --dir "$work/copy")
kill -STOP "$(pid_of gamma)"
begin_backup stopped
snapshot=$job
holdfast host drain alpha >/dev/null
queued=$(value '(.items // [.])[0].id' backup waits --at "$(date -u -d '+20 seconds' +%FT%TZ)")
wait_for 30 in_phase "$transferring" transfer running || fail "nothing is transferred"
wait_for 30 in_phase "$snapshot" snapshot running || fail "no snapshot phase"
is_running() { [ "$(state_of "$restoring")" = running ]; }
wait_for 30 is_running || fail "the restore does not run"
equal queued "$(state_of "$queued")" "the job that waits"
kill_hard server

step "the instant behind a commit, of store jobs, and between two tries"
retried=$("$python" - "$work/server/catalog.db" "$committed" "$verified" "$collected" "$rebuilt" <<'P'
import sqlite3, sys, time, uuid
database = sqlite3.connect(sys.argv[1])
committed = sys.argv[2]
database.execute("UPDATE jobs SET state = 'running', transfer_state = 'running', finished_ms = 0 WHERE id = ?", (committed,))
for job in sys.argv[3:]:
    database.execute("UPDATE jobs SET state = 'running', finished_ms = 0 WHERE id = ?", (job,))
# one that failed once and waits for its second try
columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)") if row[1] != "number"]
row = dict(zip(columns, database.execute(f"SELECT {', '.join(columns)} FROM jobs WHERE id = ?", (committed,)).fetchone()))
vm, name, host, host_name = database.execute(
    "SELECT v.id, v.name, h.id, h.name FROM vms v JOIN hosts h ON h.id = v.host_id WHERE v.name = 'restored'").fetchone()
row.update(id=str(uuid.uuid4()), vm_id=vm, vm_name=name, host_id=host, host_name=host_name, state="queued", snapshot_state="none",
           transfer_state="none", point_id="", attempt=2, next_attempt_ms=int(time.time() * 1000) + 1000, error_code="JOB_LOST_AGENT",
           error_message="The agent went away", finished_ms=0)
database.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
# and old ones: of two years ago
for n in range(500):
    row.update(id=f"old-{n:06}", state="failed", created_ms=1000 + n, finished_ms=2000 + n)
    database.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
database.commit()
print(database.execute("SELECT id FROM jobs WHERE error_code = 'JOB_LOST_AGENT' AND state = 'queued'").fetchone()[0])
P
)
server_start
kill -CONT "$(pid_of gamma)"
for host in alpha beta gamma; do wait_for 60 host_is "$host" connected || fail "$host does not come back"; done
holdfast host limit beta none >/dev/null
holdfast host resume alpha >/dev/null

step "every job comes to an end"
# ends JOB STATE [CODE]
ends() {
    job=$1
    wait_job "$2" 60
    [ $# -eq 2 ] || job_field '[.error.code // empty, .log[].code] | join(" ")' | grep -q "$3" ||
        { holdfast job show "$job" >&2; fail "job $job does not say $3"; }
}
ends "$transferring" completed JOB_SERVER_RESTART
same_disk "$(job_field .point)" disk0 "$work/sent.raw"
ends "$snapshot" completed JOB_SERVER_RESTART
ends "$queued" completed
ends "$retried" completed
equal 2 "$(job_field .attempt)" "the try of the job that waited for it"
ends "$restoring" failed JOB_SERVER_RESTART
ends "$committed" completed JOB_SERVER_RESTART
equal "$committed_point" "$(job_field .point)" "the point of the committed job"
equal 1 "$(points done | wc -l)" "points of a job that was committed when the server died"
for job in "$verified" "$collected" "$rebuilt"; do
    ends "$job" completed JOB_SERVER_RESTART
done
equal 0 "$(value '[.items[] | select(.state == "queued" or .state == "running")] | length' job list --limit 1000)" "jobs that are stuck"

step "cancel says why it can't"
expect_error 6 JOB_NOT_RUNNING "(failed)" holdfast job cancel "$restoring"
expect_error 6 JOB_NOT_RUNNING "(completed)" holdfast job cancel "$queued"
expect_error 5 JOB_NOT_FOUND no-such holdfast job cancel no-such-job

step "jobs of two years ago are forgotten"
forgotten() { [ "$(value '.items | length' job list --until 2020-01-01 --limit 1000)" = 0 ]; }
wait_for 20 forgotten || fail "$(holdfast job list --until 2020-01-01 --limit 3)"
