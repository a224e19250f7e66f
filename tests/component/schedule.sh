#!/usr/bin/env bash
# A protection group is backed up by its schedule, without anybody asking, also after a restart of the server.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/a.raw" 16 4
add_image alpha a "$work/a.raw"
holdfast policy create minutely --every 1
holdfast group create web --policy minutely
holdfast group add web a
count() { value '[.items[] | select(.requested_by == "schedule" and .state == "completed")] | length' job list; }
has_run() { [ "$(count)" -ge "$1" ]; }
wait_for 130 has_run 1 || fail "the schedule has not run within two minutes"
same_disk "$(points a | head -n 1)" disk0 "$work/a.raw"
stop server
server_start
wait_for 130 has_run 2 || fail "the schedule has not run again after the restart"
