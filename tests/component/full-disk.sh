#!/usr/bin/env bash
# A disk that something else has filled: backups are refused, and from the reserve points are deleted, the store is
# collected and the catalog is written; then backups go on by themselves.
. "$(dirname "$0")/../lib/test.sh"
requires sqlite3
mkdir "$work/server"
mount -t tmpfs -o size=300m tmpfs "$work/server" || fail "this test needs to mount a tmpfs"
at_end 'umount "$work/server" || umount -l "$work/server"'
capacity() { value "$1" store status; }
state_is() { [ "$(capacity .capacity.state)" = "$1" ]; }
server_begin
agent_begin alpha
make_image "$work/keep.img" 8 4
head -c 60M /dev/urandom >"$work/large.img"
add_image alpha keep "$work/keep.img"
add_image alpha large "$work/large.img"
backup keep
kept=$point
backup large
large=$point
equal true "$(capacity .capacity.reserve.held)" "the reserve is held"
equal ok "$(capacity .capacity.state)" "the state"
holdfast store status >"$work/out"
said "not enough history"

step "something else fills the disk to the last byte"
kill -STOP "$(pid_of server)" # or what it gives up of its reserve meanwhile is filled as well
dd if=/dev/zero of="$work/server/other" bs=64K status=none 2>"$work/err" && fail "the disk is larger than it should be"
dd if=/dev/zero of="$work/server/other2" bs=1 count=4096 status=none 2>"$work/err" || true
kill -CONT "$(pid_of server)"
expect_error 6 STORE_FULL "full" holdfast backup keep
wait_for 20 state_is full || fail "the state is $(capacity .capacity)"

step "the catalog is written, points are deleted, the store is collected"
holdfast policy create while-full --daily 22:00 --keep-days 3 >"$work/out"
expect_code STORE_FULL holdfast backup large
holdfast rp delete "$large" --now >"$work/out"
equal false "$(capacity .capacity.reserve.held)" "the reserve is held"
before=$(capacity .stored_bytes)
holdfast store gc --wait
less "$(capacity .stored_bytes)" $((before - 50000000)) "the store after the collection"
holdfast audit verify >"$work/out"
same_disk "$kept" disk0 "$work/keep.img"

step "and backups go on by themselves"
rm "$work/server/other2"
truncate -s 60M "$work/server/other"
goes_on() { holdfast backup keep --wait; }
wait_for 30 state_is ok || fail "the state stays: $(capacity .capacity)"
goes_on || fail "no backup though there is room"
equal true "$(capacity .capacity.reserve.held)" "the reserve is held again"

step "a server that starts on a full disk"
sql() { sqlite3 -cmd '.timeout 60000' "$work/server/catalog.db" "$1"; }
stop server
stopped_ms=$(date +%s%3N)
dd if=/dev/zero of="$work/server/other" bs=64K status=none 2>"$work/err" && fail "the disk is larger than it should be"
server_start
holdfast policy delete while-full >"$work/out"
rm "$work/server/other"
wait_for 30 state_is ok || fail "the state stays: $(capacity .capacity)"

step "a forecast from the days before"
sampled() { [ "$(sql "SELECT MAX(time_ms) FROM store_samples")" -ge "$stopped_ms" ]; }
wait_for 20 sampled || fail "the day is not noted" # which it is once in the server's life: from now on it stays as it is
sql "WITH RECURSIVE d(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM d WHERE n < 20)
     INSERT INTO store_samples SELECT strftime('%s', 'now') / 86400 - n, 1, (100 - n) * 30000000 + 1, 1, 1, 1, 1 FROM d;
     UPDATE store_samples SET stored_bytes = 100 * 30000000 WHERE day = strftime('%s', 'now') / 86400"
equal grows "$(capacity .capacity.forecast)" "the forecast"
equal warning "$(capacity .capacity.state)" "the state"
less 29000000 "$(capacity .capacity.growth_bytes_per_day)" "growth a day"
less "$(capacity .capacity.growth_bytes_per_day)" 31000000 "growth a day"
holdfast store status >"$work/out"
said "full about"
