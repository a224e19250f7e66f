#!/usr/bin/env bash
# Alerts: raised once with cause and action, resolved when the cause is gone, acknowledged with a note; counted in the
# status; told by nothing but what holds, so a restarted server finds the same.
. "$(dirname "$0")/../lib/test.sh"
requires sqlite3
server_init
cat >>"$work/server/holdfastd.conf" <<'X'
alert-host-minutes = 0
alert-late-minutes = 0
max-attempts = 1
X
set_clock 0 0 # noon: no hour ends while the test runs, and nothing is backed up but by it
server_start_shifted
agent_begin alpha
make_image "$work/a.raw" 16 4
add_image alpha a "$work/a.raw"
expect 0 holdfast policy create hourly --every 60
expect 0 holdfast group create web --policy hourly --vm a

open() { value '.items[].code' alert list | sort | tr '\n' ' '; }
is_open() { value '.items[].code' alert list | grep -qx "$1"; }
is_gone() { ! is_open "$1"; }
alert_of() { value "[.items[] | select(.code == \"$1\")][0].id" alert list --all; }

step "nothing is wrong"
expect 0 holdfast alert list
said 'Nothing is wrong'
equal 0 "$(value .alerts.critical status)" "critical alerts in the status"

step "a backup that fails, twice: one alert"
mv "$work/a.raw" "$work/away.raw"
for _ in 1 2; do
    begin_backup a
    wait_job failed
done
wait_for 60 is_open BACKUP_FAILED || fail "a failed backup raises no alert"
begin_backup a
wait_job failed
failed_job=$job
of_failed() { [ "$(value .job alert show "$alert")" = "$failed_job" ]; }
alert=$(alert_of BACKUP_FAILED)
wait_for 60 of_failed || fail "the alert does not follow the newest job"
equal 1 "$(value '[.items[] | select(.code == "BACKUP_FAILED")] | length' alert list --all)" "alerts of one cause"
equal critical "$(value .severity alert show "$alert")" "its severity"
equal "$(value .error.code job show "$job")" "$(value .cause_code alert show "$alert")" "the code of its cause"
expect 0 holdfast alert show "${alert:0:8}"
said "To do:"
said "The last backup of a failed"
equal 1 "$(value .alerts.critical status)" "critical alerts in the status"
expect 0 holdfast status
said '1 critical'

step "acknowledged, and still the same after a restart"
expect 0 holdfast alert ack "${alert:0:8}" --note 'image is on its way'
equal 'image is on its way' "$(value .note alert show "$alert")" "the note"
equal admin "$(value .acknowledged_by alert show "$alert")" "who acknowledged"
equal 1 "$(value .alerts.acknowledged status)" "acknowledged alerts in the status"
stop server
server_start_shifted
wait_for 60 host_is alpha connected
wait_for 60 is_gone HOST_UNREACHABLE || fail "the restart of the server is an outage of the host"
equal "$alert" "$(alert_of BACKUP_FAILED)" "the alert after a restart"

step "resolved by the next success"
mv "$work/away.raw" "$work/a.raw"
backup a
wait_for 60 is_gone BACKUP_FAILED || fail "the alert is not resolved"
expect 0 holdfast alert list --all
said resolved
equal 0 "$(value .alerts.critical status)" "critical alerts in the status"

step "a host that is away, and a point that is late meanwhile"
stop alpha
wait_for 90 is_open HOST_UNREACHABLE || fail "a lost host raises no alert"
stop server
sqlite3 "$work/server/catalog.db" "UPDATE recovery_points SET time_ms = time_ms - 10800000;
    UPDATE protection_groups SET created_ms = created_ms - 10800000, scheduled_ms = 0; UPDATE group_members SET added_ms = added_ms - 10800000; UPDATE policy_versions SET changed_ms = changed_ms - 10800000, schedule_changed_ms = 0"
server_start_shifted
wait_for 60 is_open RPO_MISSED || fail "a late point raises no alert"
equal 1 "$(value .rpo.missed status)" "late VMs in the status"
agent_start alpha
wait_for 60 is_gone HOST_UNREACHABLE || fail "the host's return resolves nothing"
wait_for 90 is_gone RPO_MISSED || fail "the next point resolves nothing"
equal 1 "$(value .rpo.met status)" "VMs on time in the status"

step "a VM that is gone"
"$HOLDFAST_BIN/holdfast-agent" remove-image a --data "$work/alpha" >>"$work/enrol.log"
holdfast vm discover alpha >/dev/null 2>&1 || true # the hypervisor is silent
wait_for 60 is_open VM_NOT_FOUND || fail "a VM that is gone raises no alert"

step "little room"
stop server
sed -i 's/^capacity-warning-percent.*/capacity-warning-percent = 1/' "$work/server/holdfastd.conf"
server_start_shifted
wait_for 60 is_open STORE_SPACE_LOW || fail "a store that is nearly full raises no alert"
equal warning "$(value "[.items[] | select(.code == \"STORE_SPACE_LOW\")][0].severity" alert list)" "severity of little room"
equal 1 "$(value '.items | length' alert list --severity warning)" "warnings"

step "wrong input"
expect_error 5 ALERT_NOT_FOUND 12345678 holdfast alert show 12345678
expect_error 5 ALERT_NOT_FOUND 1 holdfast alert ack 1
expect 2 holdfast alert list --severity bad
expect 2 holdfast alert ack "$alert" --note "$(printf 'x%.0s' {1..600})"
