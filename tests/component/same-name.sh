#!/usr/bin/env bash
# Two hosts have a VM of the same name: the name alone is refused, host/name and the id are not.
. "$(dirname "$0")/../lib/test.sh"
server_begin
for host in alpha beta; do
    agent_begin "$host"
    make_image "$work/$host.raw" 16 4
    add_image "$host" twin "$work/$host.raw"
done
expect_error 2 VM_AMBIGUOUS twin holdfast backup twin --wait || true
backup beta/twin
same_disk "$point" disk0 "$work/beta.raw"
backup "$(value .id vm show alpha/twin)"
same_disk "$point" disk0 "$work/alpha.raw"

step "two hosts of one name are told apart"
token=$(value .token host token)
(on_host alpha "$HOLDFAST_BIN/holdfast-agent" enrol "127.0.0.1:$agent_port" --token "$token" --data "$work/other")
equal alpha-2 "$(value '[.items[].name] | sort | .[1]' host list)" "the second host of that name"

step "an agent that runs keeps its identity"
expect_error 6 AGENT_BUSY "$work/alpha" enrol alpha "$(value .token host token)"

step "who may see one of them only is not told of the other"
holdfast policy create manual --manual >/dev/null
holdfast group create mine --policy manual --vm alpha/twin >/dev/null
holdfast user create scoped --role viewer --no-password --group mine >/dev/null
value .token token create scoped --user scoped >"$work/scoped.token"
as_scoped() { holdfast "$@" --config "$work/scoped.json"; }
as_scoped login "https://127.0.0.1:$api_port" --ca "$work/server/ca.pem" --token-file "$work/scoped.token" >/dev/null
expect 0 as_scoped vm show alpha/twin
expect_error 2 VM_AMBIGUOUS twin as_scoped vm show twin
! grep -q beta "$work/out" "$work/err" || fail "the other host is named"
equal 'null null 1' "$(as_scoped status --json | jq -r '[.store, .capacity, .hosts.connected] | map(tostring) | join(" ")')" \
    'the store and the hosts in the status of a scoped user'
equal "$(value '.items[0].time' rp list alpha/twin)" "$(as_scoped status --json | jq -r .oldest_point)" 'his oldest point'
less "$(as_scoped status --json | jq .jobs_last_day.completed)" "$(value .jobs_last_day.completed status)" 'his jobs'
expect 0 as_scoped status
! grep -qE '^(Store|Room):' "$work/out" || fail 'the status shows the store to a scoped user'
