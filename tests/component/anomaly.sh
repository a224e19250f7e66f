#!/usr/bin/env bash
# Days of small changes and a large update of text raise nothing; files that are replaced by encrypted ones do: the last
# good point is marked and stays, whatever the policy says, until the alert is acknowledged.
. "$(dirname "$0")/../lib/test.sh"
requires openssl mke2fs sqlite3
server_begin
agent_begin alpha

# A file system of text files; a hash seed and a UUID of its own, so that only what changed differs.
make_disk() {
    rm -f "$work/a.raw.new"
    truncate -s 48M "$work/a.raw.new"
    E2FSPROGS_FAKE_TIME=1700000000 mke2fs -q -t ext4 -O ^has_journal -E hash_seed=8a1d5ac0-0a4b-4d54-9a3c-111111111111 \
        -U 8a1d5ac0-0a4b-4d54-9a3c-222222222222 -d "$work/files" "$work/a.raw.new"
    dd if="$work/a.raw.new" of="$work/a.raw" bs=1M conv=notrunc status=none
}
# Text that compresses as text does, and differs by seed: words of a dictionary in random order.
write_text() { # FILE LINES SEED
    awk -v seed="$3" -v lines="$2" 'BEGIN { srand(seed); for (i = 0; i < lines; i++) { line = ""
        for (k = 0; k < 10; k++) line = line " " words[0] int(rand() * 900); print "the quick report of" line } }' >"$1"
}
mkdir "$work/files"
for i in 1 2 3 4 5; do
    write_text "$work/files/text$i" 70000 "$i"
done
truncate -s 48M "$work/a.raw"
make_disk
add_image alpha a "$work/a.raw"
take() { holdfast backup a --wait >>"$work/backup.log" 2>&1 || fail "a backup failed"; }
take
step "ordinary days"
for day in 1 2 3 4 5; do
    write_text "$work/files/day" $((4000 + day * 300)) "1$day"
    make_disk
    take
done
step "a large update, of text"
write_text "$work/files/text1" 70000 101
write_text "$work/files/text2" 70000 102
make_disk
backup a
usual=$point
judged() { [ "$(sqlite3 "$work/server/catalog.db" "SELECT value >= (SELECT MAX(number) FROM recovery_points) FROM settings
    WHERE name = 'anomaly_judged'")" = 1 ]; }
wait_for 60 judged || fail "recovery points are not judged"
equal 0 "$(value '.items | length' alert list --all)" "alerts of ordinary days"

step "the files are encrypted"
for file in "$work"/files/text*; do
    openssl enc -aes-256-ctr -pbkdf2 -iter 1 -pass pass:ransom -in "$file" -out "$file.locked" && rm "$file"
done
make_disk
backup a
attacked=$point
is_open() { value '.items[].code' alert list | grep -qx "$1"; }
wait_for 60 is_open CHANGE_ANOMALY || fail "nobody notices"
alert=$(value '.items[] | select(.code == "CHANGE_ANOMALY") | .id' alert list)
expect 0 holdfast alert show "$alert"
said "${usual:0:8}"
equal critical "$(value .severity alert show "$alert")" "severity"
equal true "$(value .last_good rp show "$usual")" "whether the point before is the last good one"
equal true "$(value .suspicious rp show "$attacked")" "whether the point is suspicious"
expect 0 holdfast rp list a
said 'last good'
said 'unusual change'

step "more of it changes nothing, and the good point stays"
for file in "$work"/files/*.locked; do
    openssl enc -aes-256-ctr -pbkdf2 -iter 1 -pass pass:again -in "$file" -out "$file.2" && mv "$file.2" "$file"
done
make_disk
take
wait_for 60 judged || fail "recovery points are not judged"
equal 1 "$(value '[.items[] | select(.code == "CHANGE_ANOMALY")] | length' alert list --all)" "alerts"
equal true "$(value .last_good rp show "$usual")" "whether the last good point is still the same"
expect_error 6 RP_HELD "${usual:0:8}" holdfast rp delete "$usual"
expect 0 holdfast policy create latest --manual --keep-latest 1
expect 0 holdfast group create web --policy latest --vm a
stop server # retention is applied at every start
server_start
only_two() { [ "$(points a | wc -l)" = 2 ]; }
wait_for 60 only_two || fail "retention is not applied"
points a | grep -qx "$usual" || fail "the last good point is gone"

step "acknowledged"
expect 0 holdfast alert ack "$alert" --note 'restored'
not_open() { ! is_open "$1"; }
wait_for 60 not_open CHANGE_ANOMALY || fail "the alert is not resolved"
equal false "$(value .last_good rp show "$usual")" "whether the point is still held"
expect 0 holdfast rp delete "$usual"
