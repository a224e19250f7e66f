#!/usr/bin/env bash
# VMs of one host take turns, those of another host don't wait for them; and a VM's points are listed by days.
. "$(dirname "$0")/../lib/test.sh"
requires jq
server_init
printf 'max-jobs-per-host = 1\n' >>"$work/server/holdfastd.conf"
server_start
agent_begin alpha
agent_begin beta
for name in one two three; do
    head -c 8M /dev/urandom >"$work/$name.raw"
    add_image alpha "$name" "$work/$name.raw"
done
head -c 8M /dev/urandom >"$work/other.raw"
add_image beta other "$work/other.raw"
holdfast policy create by-hand --manual --keep-latest 9 >/dev/null
holdfast group create all --policy by-hand --vm one --vm two --vm three --vm other >/dev/null

step 'one job a host'
holdfast host limit alpha 4M >/dev/null
holdfast host limit beta 4M >/dev/null
holdfast backup --group all >/dev/null
states() { value "[.items[] | select(.host == \"$1\") | .state] | map(select(. == \"$2\")) | length" job list; }
all_ended() { [ $(($(states alpha completed) + $(states beta completed))) = 4 ]; }
most=0
said_so=
while ! all_ended; do
    running=$(states alpha running)
    [ "$running" -le "$most" ] || most=$running
    [ -n "$said_so" ] || said_so=$(value '.items[].progress.step // empty' job list --state queued | grep 'host alpha runs as many' | head -n 1 || true)
    [ "$(value '[.items[] | select(.state == "failed")] | length' job list)" = 0 ] || fail "a job failed"
done
equal 1 "$most" "jobs of alpha at once"
[ -n "$said_so" ] || fail "a waiting job does not say what it waits for"

step 'by days'
holdfast rp verify "$(newest_point one)" --wait >/dev/null
holdfast backup one --wait >/dev/null
equal "$(date +%F) 2 1 0" "$(value '.items[] | "\(.date) \(.points) \(.verified) \(.damaged)"' rp calendar one)" "the calendar"
holdfast rp calendar one >"$work/calendar.txt"
grep -q "^$(date +%F) *2 .*crash *1 *0 *8.0 MiB" "$work/calendar.txt" || fail "$(cat "$work/calendar.txt")"
expect 5 holdfast rp calendar nobody
