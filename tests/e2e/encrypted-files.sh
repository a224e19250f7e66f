#!/usr/bin/env bash
# A guest whose files are encrypted in place, each with a key stream of its own: days of ordinary work raise no alert, that
# does, and the point before it is named as the last good one.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
requires sqlite3
guest_begin web1
guest_run web1 'mkdir /data/vdb/docs; for i in 1 2 3 4 5 6; do seq -f "item %.0f of report '"'"'$i" 250000 >/data/vdb/docs/$i; done; sync'
take() { holdfast backup web1 --wait >>"$work/backup.log" 2>&1 || fail "a backup failed"; }
take
step "ordinary days"
for day in 1 2 3 4 5 6; do
    guest_run web1 "seq -f 'entry %.0f of day $day' 20000 >>/data/vdb/log; sync"
    take
done
good=$(newest_point web1)
judged() { [ "$(sqlite3 "$work/server/catalog.db" "SELECT value >= (SELECT MAX(number) FROM recovery_points) FROM settings
    WHERE name = 'anomaly_judged'")" = 1 ]; }
wait_for 60 judged || fail "recovery points are not judged"
anomalies() { value '[.items[] | select(.code == "CHANGE_ANOMALY")] | length' alert list --all; }
equal 0 "$(anomalies)" "alerts of ordinary days"

step "encrypted"
guest_run web1 'cd /data/vdb/docs; for f in *; do perl -e '"'"'open R, "<", "/dev/urandom"; open F, "+<", $ARGV[0];
    while ($n = read F, $b, 65536) { read R, $k, $n; seek F, -$n, 1; print F $b ^ $k; seek F, 0, 1 }'"'"' $f; mv $f $f.locked; done; sync'
take
found() { [ "$(anomalies)" = 1 ]; }
wait_for 60 found || { holdfast rp list web1 >&2; fail "nobody notices"; }
equal true "$(value .last_good rp show "$good")" "whether the point before is the last good one"
equal true "$(value .suspicious rp show "$(newest_point web1)")" "whether the new one is suspicious"
