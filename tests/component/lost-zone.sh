#!/usr/bin/env bash
# A time zone that left the system's tzdata: whoever uses it is told, and nobody else's retention or digest waits for it.
. "$(dirname "$0")/../lib/test.sh"
requires sqlite3
server_begin
agent_begin alpha
sql() { sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "$1"; }
far=$(TZ=Europe/Berlin date -d '+12 hours' +%H:%M) # not in this test
for name in lost other; do
    make_image "$work/$name.raw" 8 1
    add_image alpha "$name" "$work/$name.raw"
    holdfast policy create "policy-$name" --daily "$far" --timezone Europe/Berlin --keep-days 0 --keep-latest 1 >/dev/null
    holdfast group create "group-$name" --policy "policy-$name" --vm "$name" >/dev/null
    holdfast notify create "digest-$name" --url https://127.0.0.1:1/ --event digest >/dev/null
    backup "$name"
    scribble "$work/$name.raw" 4096 64
    backup "$name"
done

step 'the zone of one goes; retention and digests are due'
stop server
sql "UPDATE policy_versions SET time_zone = 'Europe/Gone' WHERE policy_id = (SELECT id FROM policies WHERE name = 'policy-lost');
     UPDATE notifications SET created_ms = 1, digest_ms = 1;
     UPDATE notifications SET digest_zone = 'Europe/Gone' WHERE name = 'digest-lost'"
server_start
count_is() { [ "$(points "$1" | wc -l)" -eq "$2" ]; }
wait_for 30 count_is other 1 || fail 'the retention of the other group waits'
equal no-policy "$(value "[.items[].kept[]] | unique | join(\" \")" rp list lost)" "what keeps the points of the group whose zone is gone"
equal 2 "$(points lost | wc -l)" 'points of the group whose zone is gone'
tried() { [ "$(value "$2" notify show "digest-$1")" -gt 0 ]; }
wait_for 30 tried other .failures || fail 'the digest of the other receiver waits'
equal 0 "$(value .waiting notify show digest-lost)" 'digests of the receiver whose zone is gone'

step 'the group is on the list of alerts until its policy has a zone'
alerts_of() { value "[.items[] | select(.code == \"SCHEDULE_INVALID\") | .object] | join(\" \")" alert list; }
has_alerts() { [ "$(alerts_of)" = "$1" ]; }
wait_for 30 has_alerts group-lost || fail "no alert about the group: $(alerts_of)"
holdfast policy edit policy-lost --timezone UTC >/dev/null
stop server
server_start
wait_for 30 has_alerts '' || fail 'the alert stays'
wait_for 30 count_is lost 1 || fail 'the retention of the group stays undone'
