#!/usr/bin/env bash
# The audit record: what changes or reads data is on it, also what was refused; changing or shortening it is found.
. "$(dirname "$0")/../lib/test.sh"
requires "$python" sqlite3 curl
server_begin
token=$(cat "$work/server/admin.token")
entry() { value "[.items[] | select($1)][0] | $2" audit list --limit 1000; }
sql() { sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "$1"; }
whole() { holdfast audit verify >"$work/out" 2>"$work/err"; }
broken_at() {
    expect_error 1 AUDIT_BROKEN "Entry $1 " holdfast audit verify
    equal "$1" "$(holdfast audit verify --json 2>"$work/err" | jq .broken)" "the first broken entry"
}

step "changes, with who, from where, what, and what changed"
agent_begin alpha
make_image "$work/a.raw" 8 1
add_image alpha a "$work/a.raw"
equal "agent" "$(entry '.action == "host enrol" and .outcome == "done"' .actor)" "who enrolled"
holdfast policy create nightly --daily 22:00 --keep-days 30 >"$work/out"
holdfast policy edit nightly --keep-days 7 >"$work/out"
equal "[30,7]" "$(entry '.action | startswith("PATCH")' '.detail.changed["retention.days"] | tojson')" "the change"
equal "nightly" "$(entry '.action | startswith("PATCH")' .object)" "its object"
equal "127.0.0.1" "$(entry '.action | startswith("PATCH")' .address)" "its address"
equal "done" "$(entry '.action | startswith("PATCH")' .outcome)" "its outcome"
expect_code NAME_TAKEN holdfast policy create nightly
equal "NAME_TAKEN" "$(entry '.action == "POST /v1/policies"' .code)" "the refusal"
id=$(value .id policy show nightly)
holdfast policy delete nightly >"$work/out"
equal "$id" "$(entry '.action | startswith("DELETE")' .detail.changed.deleted.id)" "what was deleted"
backup a
equal "$job" "$(entry '.action == "POST /v1/backups"' '.detail.result.items[0].id')" "the job"
restore_disk "$point" disk0 "$work/a.out" raw
equal "$point disk0" "$(entry '.action | endswith("/data")' .object)" "the data that was read"
equal 1 "$(value ".items | length" audit list --object "$point")" "entries that name the point"
equal 0 "$(value '.items | length' audit list --actor nobody)" "entries of nobody"
equal 0 "$(value '.items | length' audit list --since 2100-01-01)" "entries of the future"
equal 1 "$(value '[.items[] | select(.action == "server start")] | length' audit list --until 2100-01-01)" "starts"
holdfast audit list >"$work/out"
said "DELETE /v1/policies/{policy}"

step "every route that changes something, and strangers"
"$python" "$tests/lib/check_audit.py" "$top" "https://127.0.0.1:$api_port" "$work/server/ca.pem" "$token" ||
    fail "see above"
grep -qF "$token" <(sql "SELECT * FROM audit") && fail "the token is on the record"
whole || fail "the record is not whole: $(cat "$work/err")"
head=$(value '"\(.head.number) \(.head.hash)"' audit verify)
holdfast audit verify --head "$head" >"$work/out"

step "a change without a record is refused"
sql "ALTER TABLE audit RENAME TO hidden"
expect_code AUDIT_FAILED holdfast policy create unseen
holdfast policy list >"$work/out"
sql "ALTER TABLE hidden RENAME TO audit"
expect_code POLICY_NOT_FOUND holdfast policy show unseen
whole || fail "the record is not whole: $(cat "$work/err")"

step "a row that is edited, removed, exchanged; a tail that is cut"
sql "CREATE TABLE copy AS SELECT * FROM audit"
restore_record() { sql "DELETE FROM audit; INSERT INTO audit SELECT * FROM copy"; whole || fail "not whole again"; }
sql "UPDATE audit SET actor = 'somebody' WHERE number = 5"
broken_at 5
restore_record
sql "DELETE FROM audit WHERE number = 7"
broken_at 8
restore_record
sql "UPDATE audit SET number = -1 WHERE number = 9; UPDATE audit SET number = 9 WHERE number = 10;
     UPDATE audit SET number = 10 WHERE number = -1"
broken_at 9
restore_record
last=$(value .last audit verify)
sql "DELETE FROM audit WHERE number > $last - 3"
broken_at $((last - 2))
restore_record
sql "DELETE FROM audit WHERE number < 4"
broken_at 4
restore_record

step "a tail that is cut while the server is stopped"
stop server
server_start
whole || fail "the record is not whole after a start: $(cat "$work/err")"
known=$(value .head.hash audit verify)
wait_for 20 grep -q 'audit head' "$work/server.log" || fail "the head is not in the log"
stop server
last=$(sql "SELECT MAX(number) FROM audit")
sql "DELETE FROM audit WHERE number > $last - 2"
server_start
broken_at $((last - 1))
equal "audit broken" "$(value '[.items[] | select(.code == "AUDIT_BROKEN")][0].action' audit list)" "what the start said"
stop server
rm "$work/server/audit.head"
sql "DELETE FROM audit; DROP TABLE copy"
server_start
whole || fail "a new record is not whole: $(cat "$work/err")"
expect_code AUDIT_BROKEN holdfast audit verify --head "$last $known"

step "old entries go, the chain holds"
stop server
sql "UPDATE audit SET time_ms = 1000"
printf 'audit-days = 1\n' >>"$work/server/holdfastd.conf"
server_start
pruned() { [ "$(sql "SELECT COUNT(*) FROM audit WHERE time_ms = 1000")" = 0 ]; }
wait_for 20 pruned || fail "old entries stay"
less 1 "$(value .first audit verify)" "the first entry"
whole || fail "the record is not whole after pruning: $(cat "$work/err")"
