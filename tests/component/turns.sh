#!/usr/bin/env bash
# VMs of one host take turns, those of another host don't wait for them; and a VM's points are listed by days.
. "$(dirname "$0")/../lib/test.sh"
requires jq "$HOLDFAST_TESTS/clock_shift.so"
server_init
set_clock 0 0 # noon: no day ends in this test
printf 'max-jobs-per-host = 1\n' >>"$work/server/holdfastd.conf"
server_start_shifted
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
holdfast host limit alpha 256K >/dev/null # the first takes half a minute, until the limit is raised
holdfast backup --group all >/dev/null
states() { value "[.items[] | select(.host == \"$1\") | .state] | map(select(. == \"$2\")) | length" job list; }
all_ended() { [ $(($(states alpha completed) + $(states beta completed))) = 4 ]; }
waits_for_its_turn() { value '.items[].progress.step // empty' job list --state queued | grep 'host alpha runs as many' >/dev/null; }
wait_for 30 waits_for_its_turn || fail "a waiting job does not say what it waits for"
most=$(states alpha running)
holdfast host limit alpha 4M >/dev/null
while ! all_ended; do
    running=$(states alpha running)
    [ "$running" -le "$most" ] || most=$running
    [ "$(value '[.items[] | select(.state == "failed")] | length' job list)" = 0 ] || fail "a job failed"
done
equal 1 "$most" "jobs of alpha at once"

step 'by days'
holdfast rp verify "$(newest_point one)" --wait >/dev/null
holdfast backup one --wait >/dev/null
equal "$(day 0) 2 1 0" "$(value '.items[] | "\(.date) \(.points) \(.verified) \(.damaged)"' rp calendar one)" "the calendar"
holdfast rp calendar one >"$work/calendar.txt"
grep -q "^$(day 0) *2 .*crash *1 *0 *8.0 MiB" "$work/calendar.txt" || fail "$(cat "$work/calendar.txt")"
expect 5 holdfast rp calendar nobody
