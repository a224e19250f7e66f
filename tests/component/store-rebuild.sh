#!/usr/bin/env bash
# Without its index the store rebuilds from its containers, and every recovery point is there again.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
make_image "$work/a.raw" 128 32
add_image alpha a "$work/a.raw"
backup a
first=$point
cp --sparse=always "$work/a.raw" "$work/first.raw"
scribble "$work/a.raw" 5000 3000
backup a
second=$point
listed=$(points a)

step "the index is gone while the server is down"
stop server
[ -e "$work/server/store/index" ] || fail "there is no index where the documentation says"
rm -r "$work/server/store/index"
server_start
wait_for 60 host_is alpha connected
expect 0 holdfast store rebuild --wait
equal "$listed" "$(points a)" "the list of points"
same_disk "$first" disk0 "$work/first.raw"
same_disk "$second" disk0 "$work/a.raw"

step "a rebuild of a healthy store changes nothing"
expect 0 holdfast store rebuild --wait
equal "$listed" "$(points a)" "the list of points"
expect 0 holdfast store verify --wait
scribble "$work/a.raw" 9000 1000
backup a
less "$(value .sent_bytes rp show "$point")" 1500000 "bytes sent after the rebuild"
same_disk "$point" disk0 "$work/a.raw"

step "the catalog is lost: init makes a new one, the points are read from the store, the host comes back"
listed=$(points a)
stop server
rm "$work/server/catalog.db"*
"$HOLDFAST_BIN/holdfastd" init --data "$work/server" >>"$work/init.log"
server_start
wait_for 30 host_is alpha connected || fail "the host is refused"
equal "$listed" "$(points a)" "the list of points"
same_disk "$point" disk0 "$work/a.raw"
