#!/usr/bin/env bash
# Schedules as operators say and see them: every kind, previews, what is refused and why, versions, two editors at
# once, runs that were missed, and who goes first.
. "$(dirname "$0")/../lib/test.sh"
requires jq "$python"
server_init
sed -i '/^min-interval-minutes/d' "$work/server/holdfastd.conf"
printf 'max-jobs = 1\n' >>"$work/server/holdfastd.conf"
server_start

times() { value '[.items[].time] | join(" ")' policy next "$@"; }

step "what runs when"
expect 0 holdfast policy create hours --hourly 15 --timezone Europe/Berlin --days mon,tue --spread 30
equal "hourly 15 6 30" "$(value '.schedule | "\(.kind) \(.hour_minute) \(.days) \(.spread_minutes)"' policy show hours)" "the hourly schedule"
expect 0 holdfast policy show hours
said "hourly at :15 on mon,tue Europe/Berlin, spread over 30 min"
expect 0 holdfast policy create weekend --weekly 03:00,23:00 --days sat,sun --priority low
equal "weekly low" "$(value '"\(.schedule.kind) \(.priority)"' policy show weekend)" "the weekly schedule"
equal "2028-02-26T03:00:00.000Z 2028-02-26T23:00:00.000Z 2028-02-27T03:00:00.000Z" \
    "$(times weekend --count 3 --from 2028-02-25)" "the runs of weekend"
# the clock jumps from 02:00 to 03:00, so 02:30 runs at 03:00 there
equal "2027-03-27T01:30:00.000Z 2027-03-28T01:00:00.000Z 2027-03-29T00:30:00.000Z" \
    "$(times --daily 02:30 --timezone Europe/Berlin --count 3 --from 2027-03-27)" "runs when the clock jumps"
equal "false true false" "$(value '[.items[].moved] | join(" ")' policy next --daily 02:30 --timezone Europe/Berlin --count 3 --from 2027-03-27)" "which of them is moved"
expect 0 holdfast policy next --daily 02:30 --timezone Europe/Berlin --count 3 --from 2027-03-27
said "2027-03-28T03:00:00+02:00"
said "the clock jumps over its time"
equal "2027-10-30T00:30:00.000Z 2027-10-31T00:30:00.000Z 2027-11-01T01:30:00.000Z" \
    "$(times --daily 02:30 --timezone Europe/Berlin --count 3 --from 2027-10-30)" "runs when the clock goes back"
equal "2028-02-28T06:00:00.000Z 2028-02-29T06:00:00.000Z 2028-03-01T06:00:00.000Z" \
    "$(times weekend --daily 06:00 --count 3 --from 2028-02-28)" "what an edit of weekend would make"
equal weekly "$(value .schedule.kind policy show weekend)" "weekend, which was not edited"
equal "$(times weekend --count 1)" "$(value .next_run policy show weekend)" "the next run of weekend"
expect 2 holdfast policy next
expect 2 holdfast policy next weekend --count 0
expect 2 holdfast policy next weekend --from yesterday
expect_error 5 POLICY_NOT_FOUND nobody holdfast policy next nobody

step "what is refused, and where"
refused() {
    local where=$1
    shift
    expect_error 2 SCHEDULE_INVALID "$where" holdfast policy create wrong "$@"
}
refused 'interval_minutes: every 14 minutes' --every 14
refused '"25:00" in "06:00,25:00"' --daily 06:00,25:00
refused '07:00 is there twice' --daily 07:00,07:00
refused 'days: a weekly schedule needs its days' --weekly 07:00
refused 'days: every 2880 minutes' --every 2880 --days mon
refused 'no time zone "Europe/Berlim"' --daily 07:00 --timezone Europe/Berlim
refused 'spread_minutes: starts can'"'"'t be spread over 16 minutes, 15' --every 15 --spread 16
refused 'funday' --daily 07:00 --days funday
expect 2 holdfast policy create wrong --hourly 60
expect 2 holdfast policy create wrong --hourly 5 --daily 07:00
expect_error 2 REQUEST_INVALID urgent holdfast policy create wrong --daily 07:00 --priority urgent
expect 5 holdfast policy show wrong

step "versions"
expect 0 holdfast policy edit weekend --weekly 04:00
expect 0 holdfast policy edit weekend --weekly 04:00 --priority low
equal 2 "$(value .version policy show weekend)" "the version after an edit, and one that changed nothing"
expect 0 holdfast policy edit weekend --daily 05:00 --if-version 2
equal "3 127" "$(value '"\(.version) \(.schedule.days)"' policy show weekend)" "a daily schedule, without the days of the weekly"
expect_error 6 POLICY_CHANGED "is at version 3, the change was made to 2" holdfast policy edit weekend --daily 06:00 --if-version 2
equal "03:00,23:00" "$(value .schedule.daily_times policy show weekend --version 1)" "version 1"
equal "3 2 1" "$(value '[.items[].version] | join(" ")' policy history weekend)" "the versions"
equal "admin" "$(value '.items[0].changed_by' policy history weekend)" "who changed it"
expect 0 holdfast policy history weekend
said "daily at 05:00 UTC"
expect_error 5 POLICY_NOT_FOUND "version 9" holdfast policy show weekend --version 9
expect 2 holdfast policy show weekend --version none
expect 0 holdfast policy edit weekend --disable
equal "null 0" "$(value .next_run policy show weekend) $(value '.items | length' policy next weekend)" "runs of a disabled policy"
for i in 1 2 3 4 5 6; do # different fields at once: none is lost
    holdfast policy edit hours --keep-daily "$i" >/dev/null &
    other=$!
    holdfast policy edit hours --keep-weekly "$i" >/dev/null || fail "an edit beside another is refused"
    wait "$other" || fail "an edit beside another is refused"
done
equal "6 6 13" "$(value '"\(.retention.daily) \(.retention.weekly) \(.version)"' policy show hours)" "what two editors made"

step "what was missed runs once, the most important first"
agent_begin alpha
far=$(date -u -d '+12 hours' +%H:%M) # not in this test
for name in low normal high; do
    head -c 1M /dev/urandom >"$work/$name.raw"
    add_image alpha "$name" "$work/$name.raw"
    holdfast policy create "$name" --daily "$far" --keep-latest 9 --priority "$name" >/dev/null
    holdfast group create "$name" --policy "$name" --vm "$name" >/dev/null
done
equal "$(value .next_run group show low)" "$(value .next_run policy show low)" "the next run of a group"
expect 0 holdfast policy next high --vm high
stop alpha
stop server
"$python" - "$work/server/catalog.db" <<'EOF'
import sqlite3, sys, time
week_ago = int(time.time() * 1000) - 7 * 86400000
with sqlite3.connect(sys.argv[1]) as catalog: # the server was down for a week
    catalog.execute("UPDATE protection_groups SET created_ms = ?1, scheduled_ms = ?1", (week_ago,))
    catalog.execute("UPDATE policy_versions SET schedule_changed_ms = ?1", (week_ago,))
EOF
server_start
jobs_are() { [ "$(value "[.items[] | select(.state == \"$1\")] | length" job list --type backup)" = "$2" ]; }
wait_for 30 jobs_are queued 3 || fail "the missed runs are not made up for"
agent_start alpha
wait_for 60 jobs_are completed 3 || fail "not every missed run has ended"
equal "high normal low" "$(value '[.items | sort_by(.started)[].vm] | join(" ")' job list --type backup)" "the order of the jobs"
equal true "$(value '[.items | sort_by(.started)[] | .started, .finished] | . == sort' job list --type backup)" "one job at a time"
equal 3 "$(value '.items | length' job list --type backup)" "the number of jobs: each missed run once"
