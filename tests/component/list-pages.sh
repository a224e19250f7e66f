#!/usr/bin/env bash
# Pages of lists: full for whoever sees only some groups, too, each item once; VMs by group and host; what status counts.
. "$(dirname "$0")/../lib/test.sh"
requires "$python" sqlite3 curl
server_begin
holdfast policy create far --daily "$(date -u -d '+12 hours' +%H:%M)" >"$work/out" # nothing runs in this test
for name in mine theirs; do
    holdfast group create "$name" --policy far >"$work/out"
done
mine=$(value .id group show mine)
theirs=$(value .id group show theirs)
# of 60 VMs, with a point and a job each, every seventh is the user's
sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "
    INSERT INTO hosts (id, name, state, state_since_ms, serial, previous_serial, certificate_expires_ms, software, system, kinds, address,
                       enrolled_ms, last_seen_ms)
    VALUES ('h0', 'alpha', 'unreachable', 1, '', '', 0, '', '', 'kvm', '', 1, 1), ('h1', 'beta', 'unreachable', 1, '', '', 0, '', '', 'kvm', '', 1, 1);
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 59)
    INSERT INTO vms (id, host_id, uuid, kind, name, power, guest_agent, tracking, memory_mib, cpus, present, vanished_ms)
    SELECT 'vm-' || i, 'h' || (i % 2), 'u' || i, 'kvm', 'vm' || i, 'running', 'none', 'none', 1, 1, 1, 0 FROM n;
    INSERT INTO group_members (vm_id, group_id, added_ms)
    SELECT id, CASE WHEN number % 7 = 0 THEN '$mine' ELSE '$theirs' END, 1 FROM vms;
    INSERT INTO recovery_points (id, vm_id, vm_name, host_id, host_name, kind, parent, job_id, time_ms, committed_ms, mode, reason, consistency,
        consistency_reason, size, read_bytes, sent_bytes, stored_bytes, retain_until_ms, held, damaged, verified_ms)
    SELECT 'point-' || id, id, name, host_id, '', 'kvm', '', '', number * 1000, 1, 'full', '', 'crash', '', 1, 1, 1, 1, 0, 1, 0, 0 FROM vms;
    INSERT INTO jobs (id, type, state, snapshot_state, transfer_state, vm_id, vm_name, host_id, host_name, point_id, requested_by, on_demand,
        full, mode, reason, step, retain_until_ms, attempt, max_attempts, next_attempt_ms, error_code, error_message, error_cause,
        done_bytes, total_bytes, wire_bytes, stored_bytes, rate, created_ms, started_ms, snapshot_started_ms, snapshot_finished_ms,
        transfer_started_ms, transfer_finished_ms, finished_ms, restore_to_original, restore_start, restore_stop_running, restore_name,
        restore_directory, restored_uuid, restored_name)
    SELECT 'job-' || id, 'backup', 'completed', 'completed', 'completed', id, name, host_id, '', '', 'admin', 1, 0, '', '', '', 0, 1, 1, 0, 'NONE', '',
           '', 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, '', '', '', '' FROM vms;"
holdfast user create anna --role viewer --no-password --group mine >"$work/out"
anna=$(value .token token create pages --user anna)
admin=$(cat "$work/server/admin.token")

# walk TOKEN PATH LIMIT: the ids of all pages in "$work/ids", the pages' lengths in $lengths
walk() {
    local query=$2 next=
    [[ $query == *\?* ]] && query+='&' || query+='?'
    lengths=
    : >"$work/ids"
    while [ "$next" != null ]; do
        curl -sS --fail --cacert "$work/server/ca.pem" -H "Authorization: Bearer $1" \
            "https://127.0.0.1:$api_port/v1/${query}limit=$3${next:+&after=$next}" >"$work/page.json" || fail "no page of $2"
        jq -r '.items[].id' "$work/page.json" >>"$work/ids"
        lengths+="$(jq '.items | length' "$work/page.json") "
        next=$(jq -r .next "$work/page.json")
    done
    equal "" "$(sort "$work/ids" | uniq -d)" "what is on two pages of $2"
}

step "a user with one group: 8 of 60"
for list in vms recovery-points jobs; do
    walk "$anna" "$list" 3
    equal "3 3 2 " "$lengths" "the pages of $list"
    equal 8 "$(wc -l <"$work/ids")" "items of $list"
    [ -z "$(grep -vE -- '-(7|14|21|28|35|42|49|56)$|-(6|13|20|27|34|41|48|55)$' "$work/ids")" ] || fail "others' $list: $(cat "$work/ids")"
done
walk "$anna" vms 4
equal 8 "$(wc -l <"$work/ids")" "pages that are just full"
walk "$anna" "vms?host=alpha" 100
equal 4 "$(wc -l <"$work/ids")" "VMs of the user on a host"
walk "$anna" groups 1
equal "$mine" "$(cat "$work/ids")" "the groups"

step "everybody else's"
walk "$admin" vms 25
equal "25 25 10 " "$lengths" "the pages of all VMs"
walk "$admin" "vms?group=mine" 5
equal "5 3 " "$lengths" "the VMs of a group"
walk "$admin" "vms?group=mine&host=alpha" 5
equal "4 " "$lengths" "the VMs of a group on a host"
walk "$admin" "vms?host=beta&search=VM5" 100
equal 6 "$(wc -l <"$work/ids")" "VMs of a host by name"
walk "$admin" "recovery-points?vm=vm5" 100
equal point-vm-5 "$(cat "$work/ids")" "the points of a VM"

step "status counts what the user sees"
status() { curl -sS --fail --cacert "$work/server/ca.pem" -H "Authorization: Bearer $1" "https://127.0.0.1:$api_port/v1/status" | jq -r "$2"; }
equal "8 0" "$(status "$anna" '"\(.vms.protected) \(.vms.waiting)"')" "the user's VMs"
equal "60 60" "$(status "$admin" '"\(.vms.protected) \(.rpo | add)"')" "all VMs"
stop server
