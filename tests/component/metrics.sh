#!/usr/bin/env bash
# Metrics as Prometheus reads them, and logs that a machine can read: every line of a job names it, on both sides.
. "$(dirname "$0")/../lib/test.sh"
requires "$python" curl
server_init
printf 'log-format = json\n' >>"$work/server/holdfastd.conf"
server_start
scrape() {
    curl -sS --fail --cacert "$work/server/ca.pem" -H "Authorization: Bearer $(cat "$work/server/admin.token")" \
        -D "$work/headers" "https://127.0.0.1:$api_port/metrics"
}
# metric SERIES
metric() { scrape | "$python" "$tests/lib/check_metrics.py" "$1"; }

step "an empty server"
equal 0 "$(metric holdfast_store_recovery_points)" "recovery points"
grep -qi '^content-type: text/plain; version=0.0.4' "$work/headers" || fail "the type is not that of metrics"
curl -sS -o "$work/out" --cacert "$work/server/ca.pem" -w '%{http_code}' "https://127.0.0.1:$api_port/metrics" >"$work/code"
equal 401 "$(cat "$work/code")" "the answer to a stranger"

step "hosts, VMs with odd names, jobs, requests"
enrol alpha "$(value .token host token)" >>"$work/enrol.log"
printf 'log-format = json\n' >"$work/agent.conf"
agent_start alpha --config "$work/agent.conf"
make_image "$work/a.raw" 8 1
odd='a"b\c'
add_image alpha "$odd" "$work/a.raw"
add_image alpha later "$work/a.raw"
backup "$odd"
# every hour, half an hour from now: nothing runs in this test
holdfast policy create often --hourly "$(date -u -d '+30 minutes' +%-M)" --keep-days 3 >"$work/out"
holdfast group create web --policy often --vm "$odd" --vm later >"$work/out"
equal 1 "$(metric 'holdfast_hosts{state="connected"}')" "connected hosts"
equal 0 "$(metric 'holdfast_alerts_open{severity="critical"}')" "critical alerts"
equal 1 "$(metric 'holdfast_jobs{type="backup",state="completed"}')" "completed backups"
equal 1 "$(metric "holdfast_vm_recovery_points{vm=\"$odd\",host=\"alpha\"}")" "points of the VM"
equal 0 "$(metric "holdfast_vm_rpo_missed{vm=\"$odd\",host=\"alpha\"}")" "whether its RPO is missed"
allowed=$(metric "holdfast_vm_rpo_allowed_seconds{vm=\"$odd\",host=\"alpha\"}")
less 3590 "${allowed%.*}" "to the next hour, and an hour's grace"
less "${allowed%.*}" 7210 "to the next hour, and an hour's grace"
less $(($(date +%s) - 300)) "$(metric "holdfast_vm_last_success_timestamp_seconds{vm=\"$odd\",host=\"alpha\"}")" "the last success"
equal 1 "$(metric 'holdfast_api_requests_total{code="401"}')" "refused requests"
less 100000 "$(metric 'holdfast_jobs_sent_bytes{type="backup",state="completed"}')" "bytes sent"
less 1000000 "$(metric process_resident_memory_bytes)" "memory"
equal 1 "$(metric "holdfast_build_info{version=\"$("$HOLDFAST_BIN/holdfastd" --version | grep -o '[0-9][0-9.]*' | head -n 1)\"}")" "the build"
less $(($(date +%s) - 300)) "$(metric holdfast_scheduler_looked_timestamp_seconds | cut -d. -f1)" "the scheduler's last look"
equal "$(value .stored_bytes store status)" "$(metric holdfast_store_stored_bytes)" "bytes stored"

step "logs"
point=$(newest_point "$odd")
holdfast rp verify "$point" --wait
jq -es 'length > 5' "$work/server.log" >"$work/out" || fail "the server's log is not JSON"
jq -es 'length > 2' "$work/alpha.log" >"$work/out" || fail "the agent's log is not JSON"
for side in server alpha; do
    lines=$(jq -r --arg job "$job" 'select(.job == $job) | .event' "$work/$side.log")
    less 1 "$(wc -l <<<"$lines")" "lines of the job in the log of $side"
done
grep -q 'transfer completed' <<<"$(jq -r --arg job "$job" 'select(.job == $job) | .event' "$work/alpha.log")" ||
    fail "the agent's lines do not name the job"
nameless=$(jq -r 'select((.event | test("^(job|backup|transfer|restore)")) and .job == null) | .event' "$work/server.log" "$work/alpha.log")
equal "" "$nameless" "lines of jobs without their job"
equal "$odd" "$(jq -r 'select(.event == "job started" and .type == "backup") | .vm' "$work/server.log" | head -n 1)" "the VM"
stop alpha
stop server
sed -i 's/^log-format.*/log-format = yaml/' "$work/server/holdfastd.conf"
expect_code CONFIG_INVALID "$HOLDFAST_BIN/holdfastd" run --data "$work/server"
