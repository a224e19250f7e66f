#!/usr/bin/env bash
# Reports: backups, growth, and recovery points against what the schedules promise, by VM and by group, also as CSV.
. "$(dirname "$0")/../lib/test.sh"
requires "$python" sqlite3 curl
server_begin
agent_begin alpha
make_image "$work/a.raw" 8 1
for name in good bad later; do
    add_image alpha "$name" "$work/a.raw"
done
add_image alpha '=1+1' "$work/a.raw"
add_image alpha 'with, comma' "$work/a.raw"
sql() { sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "$1"; }
row() { value ".items[] | select(.vm == \"$1\" or .group == \"$1\") | $2" report "${@:3}"; }
# every hour, half an hour from now: nothing runs in this test
holdfast policy create hourly --hourly "$(date -u -d '+30 minutes' +%-M)" --keep-days 3 >"$work/out"
holdfast policy create by-hand --manual --keep-days 3 >"$work/out"
holdfast group create web --policy hourly --vm good --vm bad --vm later >"$work/out"
holdfast group create rest --policy by-hand --vm '=1+1' >"$work/out"
backup good
backup bad
backup '=1+1'

step "a VM whose newest point is too old, one whose backup failed"
sql "UPDATE recovery_points SET time_ms = time_ms - 14400000 WHERE vm_name = 'bad';
     UPDATE group_members SET added_ms = added_ms - 86400000 WHERE vm_id = (SELECT id FROM vms WHERE name = 'bad');
     UPDATE policy_versions SET schedule_changed_ms = schedule_changed_ms - 86400000"
sql "UPDATE jobs SET state = 'failed', error_code = 'SNAPSHOT_FAILED' WHERE vm_name = 'bad'"
equal protected "$(row good .state status)" "the state"
equal failing "$(row bad .state status)" "the state"
equal waiting "$(row later .state status)" "the state"
equal unprotected "$(row 'with, comma' .state status)" "the state"
equal 1 "$(row good .completed status)" "completed backups"
equal SNAPSHOT_FAILED "$(row bad .last_error status)" "the last error"
equal 0 "$(row good .completed status --until 2020-01-02)" "completed backups of another time"
equal met "$(row good .rpo rpo)" "the RPO"
equal missed "$(row bad .rpo rpo)" "the RPO"
equal waiting "$(row later .rpo rpo)" "the RPO"
equal none "$(row '=1+1' .rpo rpo)" "the RPO"
equal true "$(row good '.allowed_seconds > 3590 and .allowed_seconds < 7210' rpo)" "to the next hour, and an hour's grace"
equal true "$(row bad '.allowed_seconds < .age_seconds' rpo)" "older than allowed"
equal "3 1 1 1" "$(row web '"\(.vms) \(.protected) \(.failing) \(.waiting)"' status --by group)" "the group"
equal "1 1 1" "$(row web '"\(.met) \(.missed) \(.waiting)"' rpo --by group)" "the group"
holdfast report status >"$work/out"
said SNAPSHOT_FAILED
holdfast report rpo >"$work/out"
said missed

step "a gap in the days before, though all is well now"
sql "INSERT INTO jobs SELECT number + 1000, 'x' || id, type, state, snapshot_state, transfer_state, vm_id, vm_name, host_id, host_name,
    group_id, point_id, requested_by, on_demand, full, mode, reason, step, retain_until_ms, attempt, max_attempts, next_attempt_ms,
    error_code, error_message, error_cause, done_bytes, total_bytes, wire_bytes, stored_bytes, rate, created_ms - 36000000,
    started_ms - 36000000, snapshot_started_ms - 36000000, snapshot_finished_ms - 36000000, transfer_started_ms, transfer_finished_ms,
    finished_ms - 36000000, restore_to_original, restore_start, restore_stop_running, restore_name, restore_directory, restored_uuid,
    restored_name, bandwidth, restore_networks, restore_pool, restore_format FROM jobs WHERE vm_name = 'good'"
equal "met missed 36000" "$(row good '"\(.rpo) \(.rpo_in_span) \(.longest_gap_seconds)"' rpo)" "the gap"

step "growth"
sampled() { [ "$(sql "SELECT COUNT(*) FROM store_samples")" -ge 1 ]; }
wait_for 20 sampled || fail "no sample of the store is taken"
good=$(value .id vm show good)
sql "DELETE FROM vm_samples; DELETE FROM store_samples;
     INSERT INTO store_samples SELECT strftime('%s', 'now') / 86400 - 2, 1, 1000, 5000, 7, 9, 1;
     INSERT INTO store_samples SELECT strftime('%s', 'now') / 86400 - 1, 1, 1500, 6000, 7, 9, 2;
     INSERT INTO vm_samples SELECT strftime('%s', 'now') / 86400 - 2, '$good', 100, 1, 40;
     INSERT INTO vm_samples SELECT strftime('%s', 'now') / 86400 - 1, '$good', 90, 2, 70"
equal 500 "$(value '.items[1].stored_growth' report storage)" "growth of the store"
equal "-10 30 2" "$(row good '"\(.size_growth) \(.stored_growth) \(.points)"' storage --by vm)" "growth of the VM"
equal "-10 30 2" "$(row web '"\(.size_growth) \(.stored_growth) \(.points)"' storage --by group)" "growth of the group"

step "CSV: RFC 4180, and no formulas"
holdfast report status --csv >"$work/status.csv"
"$python" - "$work/status.csv" <<'END' || fail "the CSV is not as it should be: $(cat "$work/status.csv")"
import csv, sys
text = open(sys.argv[1], newline="").read()
rows = {row["vm"]: row for row in csv.DictReader(text.splitlines())}
assert text.count("\r\n") == len(rows) + 1 and text.endswith("\r\n"), "ends of lines"
assert "with, comma" in rows and '"with, comma"' in text, rows
assert "'=1+1" in rows and "=1+1" not in rows, rows
assert rows["bad"]["last_error"] == "SNAPSHOT_FAILED" and rows["good"]["last_error"] == "", rows
END
holdfast report storage --by vm --csv >"$work/growth.csv"
grep -q ',-10,' "$work/growth.csv" || fail "a number was taken for a formula"

step "pages, and what can't be asked"
page() { curl -sS --cacert "$work/server/ca.pem" -H "Authorization: Bearer $(cat "$work/server/admin.token")" "https://127.0.0.1:$api_port$1"; }
next=$(page "/v1/reports/status?limit=2" | jq -r .next)
equal 3 "$(page "/v1/reports/status?after=$next" | jq '.items | length')" "rows behind the first two"
expect_code REQUEST_INVALID holdfast report rpo --by day
expect_code REQUEST_INVALID holdfast report rpo --since tomorrow
expect_code REQUEST_INVALID holdfast report rpo --since 2026-01-02 --until 2026-01-01

step "the dashboard's figures"
equal "1 1 1 1" "$(value '"\(.rpo.met) \(.rpo.missed) \(.rpo.waiting) \(.vms.failing)"' status)" "the figures"
equal "$(value '[.items[].time] | min' rp list)" "$(value .oldest_point status)" "the oldest point"
equal ok "$(value .capacity.state status)" "the room"
equal web "$(page "/v1/store/capacity?group=web" | jq -r .expected.group)" "the group"
less 24000000 "$(page "/v1/store/capacity?group=web" | jq .expected.free_bytes)" "free space"
equal true "$(page "/v1/store/capacity?group=web" | jq '.expected.need_bytes > 1000000')" "need"
holdfast status >"$work/out"
said "1 VMs on time, 1 late, 1 waiting"

step "a VM whose first backup failed"
sql "UPDATE jobs SET vm_id = (SELECT id FROM vms WHERE name = 'later') WHERE vm_name = 'bad'"
equal failing "$(value .protection vm show later)" "the state in the list"
equal failing "$(row later .state status)" "the state in the report"
equal "1 0" "$(value '"\(.vms.failing) \(.vms.waiting)"' status)" "failing and waiting"
equal "1 0" "$(page /v1/digest | jq -r '.data.vms | "\(.failing) \(.waiting)"')" "failing and waiting in the digest"
equal "1 1 1" "$(page /v1/digest | jq -r '.data.rpo | "\(.met) \(.missed) \(.waiting)"')" "recovery points in the digest"
alerted() { [ "$(sql "SELECT COUNT(*) FROM alerts WHERE code = 'RPO_MISSED' AND resolved_ms = 0 AND object_name = 'bad'")" = 1 ]; }
backup good # after which alerts are looked at
wait_for 60 alerted || fail "no alert tells of the missed point"
equal 1 "$(sql "SELECT COUNT(*) FROM alerts WHERE code = 'RPO_MISSED' AND resolved_ms = 0")" "alerts of missed points"
