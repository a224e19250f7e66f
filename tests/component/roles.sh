#!/usr/bin/env bash
# Every route of the API by every role, with and without scope, and by whoever has no valid token.
. "$(dirname "$0")/../lib/test.sh"
requires "$python" sqlite3
server_init
printf 'requests-per-second = 100000\nlogins-per-minute = 100000\n' >>"$work/server/holdfastd.conf"
server_start
sql() { sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "$1"; }

step 'two hosts, each with an image in a group and a recovery point; users by role and scope'
for host in alpha beta; do
    agent_begin "$host"
    make_image "$work/$host.raw" 8 1
    add_image "$host" "disk-$host" "$work/$host.raw"
    holdfast policy create "policy-$host" --manual >/dev/null
    holdfast group create "group-$host" --policy "policy-$host" --vm "disk-$host" >/dev/null
    backup "disk-$host"
    printf '%s\n' "$point" >"$work/point-$host"
    printf '%s\n' "$job" >"$work/job-$host"
done
# caller NAME ROLE KIND [OPTION...]: a user and a token; no password is hashed for it
caller() {
    local name=$1 role=$2 kind=$3
    shift 3
    holdfast user create "$name" --role "$role" --no-password "$@" >/dev/null
    token=$(value .token token create "$name" --user "$name")
    again=$(value .token token create "$name-again" --user "$name")
    jq -n --arg name "$name" --arg token "$token" --arg again "$again" --arg role "$role" --arg kind "$kind" \
        --argjson scoped "$([ $# -gt 0 ] && echo true || echo false)" \
        '{($name): {token: $token, again: $again, role: $role, kind: $kind, scoped: $scoped}}' >>"$work/callers"
}
for role in viewer operator administrator; do
    caller "$role" "$role" session
    caller "scoped-$role" "$role" session --group group-alpha
done
caller late administrator expired
caller script administrator api
caller former administrator disabled
printf '{"nobody": {"token": null, "kind": "none"}, "stranger": {"token": "hfs_00", "kind": "wrong"}}' >>"$work/callers"
# tokens that are made by hand become sessions here
sql "UPDATE access_tokens SET kind = 'session' WHERE name NOT LIKE 'script%';
     UPDATE access_tokens SET expires_ms = 1 WHERE name = 'late'; UPDATE users SET disabled = 1 WHERE name = 'former'"

step 'an alert and a sample of each VM and host, and one of the store'
now=$(date +%s)000
alert() { # ID KIND OBJECT
    sql "INSERT INTO alerts VALUES (NULL, '$1', 'BACKUP_FAILED', 'warning', '$2', '$3', '$3', 'text', '', '', '', $now, $now,
         0, '', '')"
}
for host in alpha beta; do
    vm=$(value .id vm show "disk-$host")
    alert "$host-vm-00000000" vm "$vm"
    alert "$host-host-00000000" host "$(value .id host show "$host")"
    sql "INSERT INTO vm_samples (day, vm_id, size, points, stored_bytes) VALUES ($now / 86400000, '$vm', 8388608, 1, 1)
         ON CONFLICT DO NOTHING"
done
alert store-00000000 store store
alert server-00000000 server server

ids() { value "[$1]" "${@:2}"; }
side() {
    jq -n --arg host "$1" --arg vm "$1/disk-$1" --arg policy "policy-$1" --arg group "group-$1" \
        --arg point "$(cat "$work/point-$1")" --arg job "$(cat "$work/job-$1")" --arg alert "$1-vm-00000000" \
        '$ARGS.named'
}
lists=$(jq -n --argjson host "$(ids .id host show alpha)" --argjson vm "$(ids .id vm show disk-alpha)" \
    --argjson policy "$(ids .id policy show policy-alpha)" --argjson group "$(ids .id group show group-alpha)" \
    --argjson point "$(ids '.items[].id' rp list disk-alpha)" \
    --argjson job "$(ids '.items[].id' job list --vm disk-alpha)" \
    --argjson alert '["alpha-vm-00000000", "alpha-host-00000000"]' '$ARGS.named')
jq -s --argjson inside "$(side alpha)" --argjson outside "$(side beta)" --argjson lists "$lists" \
    '{callers: add, inside: $inside, outside: $outside, lists: $lists}' "$work/callers" >"$work/world.json"

step 'every route by every caller'
"$python" "$tests/lib/check_roles.py" "$top" "$api_port" "$work/server/ca.pem" "$work/world.json" ||
    fail "the roles are not as documented"

step 'deleting asks for the second factor, as does a policy for points that had none'
holdfast group remove group-beta disk-beta >/dev/null
printf '135790\n' >"$work/pin"
holdfast user pin --pin-file "$work/pin" >/dev/null
expect_code SECOND_FACTOR_REQUIRED setsid "$HOLDFAST_BIN/holdfast" group add group-alpha disk-beta
expect_code SECOND_FACTOR_REQUIRED setsid "$HOLDFAST_BIN/holdfast" rp delete "$point"
expect_code SECOND_FACTOR_REQUIRED setsid "$HOLDFAST_BIN/holdfast" host retire beta
expect_code RP_NOT_FOUND setsid "$HOLDFAST_BIN/holdfast" rp delete 00000000
expect 0 holdfast rp show "$point"
expect 0 holdfast rp delete "$point" --code 135790
equal '' "$(points disk-beta)" "the points that are left"
