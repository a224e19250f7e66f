#!/usr/bin/env bash
# A locked point can't be deleted by anyone before its date: not by hand, by retention, by editing the policy, through
# groups, with the clock set forward, or after the catalog was lost. It can when its days are over.
. "$(dirname "$0")/../lib/test.sh"
requires jq "$HOLDFAST_TESTS/clock_shift.so"
server_init
set_clock 0 0
server_start_shifted
agent_begin alpha
for name in a b; do
    make_image "$work/$name.raw" 8 1
    add_image alpha "$name" "$work/$name.raw"
done
run_retention() {
    stop server
    server_start_shifted
    wait_for 30 host_is alpha connected || fail "the host does not come back"
}
# locked COMMAND...: is refused, and says until when.
locked() { expect_error 6 RP_LOCKED "$(day 30)" "$@"; }
still_there() { equal whole "$(value .state rp show "$locked")" "state of the locked point $1"; }

step "a point is locked when it is made"
expect 2 holdfast policy create bad --manual --lock-days 4000
expect 2 holdfast policy create bad --manual --lock-days soon
expect 0 holdfast policy create strict --manual --keep-latest 1 --lock-days 30
expect 0 holdfast policy create loose --manual --keep-latest 1
expect 0 holdfast group create safe --policy strict --vm a
expect 0 holdfast group create other --policy loose --vm b
backup b
equal null "$(value .locked_until rp show "$point")" "lock of a point of the other policy"
backup a
locked=$point
equal "$(day 30)" "$(value '.locked_until[:10]' rp show "$locked")" "date of the lock"
set_clock 1 1
backup a
expect 0 holdfast rp show "$locked"
said 'Locked until'

step "not by hand, whoever asks"
locked holdfast rp delete "$locked"
locked holdfast rp delete "$locked" --now
locked holdfast rp delete "$locked" --now --force
locked holdfast rp retain "$locked" none
locked holdfast rp retain "$locked" "$(day 10)"
expect 0 holdfast rp retain "$locked" "$(day 40)"
expect 0 holdfast rp hold "$locked"
expect 0 holdfast rp hold "$locked" --release

step "not by retention, whatever becomes of the policy"
expect 0 holdfast policy edit strict --lock-days 0
equal 0 "$(value .next_run_deletes policy edit strict --keep-latest 1)" "points that the next run deletes"
equal "$(day 30)" "$(value '.locked_until[:10]' rp show "$locked")" "date of the lock after the policy's was ended"
expect 0 holdfast rp retain "$locked" "$(day 31)"
run_retention
still_there "after a run of retention"
backup a
equal null "$(value .locked_until rp show "$point")" "lock of a point that was made after the policy's ended"

step "not through groups"
expect 0 holdfast group remove safe a --delete-data
equal 2 "$(value '.items | length' rp list a)" "points of a that stay" # both were made under the lock
still_there "after the VM was taken out with its data"
expect 0 holdfast group add other a
expect 0 holdfast group stop other --delete-data
said 'locked or on hold and stay: 2'
expect 0 holdfast group delete other
expect 0 holdfast group delete safe
expect 0 holdfast policy delete strict
still_there "after group and policy were deleted"
expect 0 holdfast store gc --wait
same_size=$(stat -c %s "$work/a.raw")
expect 0 holdfast restore disk "$locked" disk0 --to "$work/whole.raw"
equal "$same_size" "$(stat -c %s "$work/whole.raw")" "size of the locked point's disk after a collection"

step "not by setting the clock forward, also across a restart"
set_clock 400 1
locked holdfast rp delete "$locked"
run_retention
locked holdfast rp delete "$locked" --now
set_clock -400 1 # nor back
locked holdfast rp delete "$locked"
set_clock 1 1

step "not by losing the catalog"
stop server
rm "$work/server"/catalog.db*
"$HOLDFAST_BIN/holdfastd" init --data "$work/server" >>"$work/init.log"
server_start_shifted
equal "$(day 30)" "$(value '.locked_until[:10]' rp show "$locked")" "date of the lock in the new catalog"
locked holdfast rp delete "$locked"

step "nor by writing the catalog"
stop server
"$python" - "$work/server/catalog.db" <<'P'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as catalog:
    catalog.execute("UPDATE recovery_points SET locked_until_ms = 0, deleted_ms = 1, purge_ms = 1")
P
server_start_shifted
[ -n "$(find "$work/server/store/points" -name "$locked*")" ] || fail "the locked point was purged"
locked holdfast rp delete "$locked" --now
expect 0 holdfast rp undelete "$locked"

step "but when its days are over"
set_clock 29 29
locked holdfast rp delete "$locked"
set_clock 31 31
expect 0 holdfast rp delete "$locked" --now
expect_error 5 RP_NOT_FOUND "$locked" holdfast rp show "$locked"
