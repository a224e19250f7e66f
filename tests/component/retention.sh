#!/usr/bin/env bash
# How long points stay and why: the preview of a change is what the next run deletes; holds, dates, the last good point;
# deleted points, taken back and purged. The server's clock is moved through six weeks.
. "$(dirname "$0")/../lib/test.sh"
requires jq "$HOLDFAST_TESTS/clock_shift.so"
server_init
set_clock -40 0
server_start_shifted
agent_begin alpha
make_image "$work/a.raw" 8 1
add_image alpha a "$work/a.raw"

kept() { value '.kept | sort | join(",")' rp show "$1"; }
point_state() { value .state rp show "$1"; }
# on_day DAYS_AGO: the server's clock, and its count of time, are there.
on_day() { set_clock "-$1" $((40 - $1)); }
# retention runs when the server starts
run_retention() {
    stop server
    server_start_shifted
    wait_for 30 host_is alpha connected || fail "the host does not come back"
}
retention_was() { grep -q "$1" "$work/server.log"; }

step "points of six weeks"
expect 0 holdfast policy create gfs --manual --keep-days 365
expect 0 holdfast group create web --policy gfs --vm a
equal waiting "$(value '.vms[0].protection' group show web)" "state of a member without points"
all=()
for days in 40 39 33 20 13 12 6 2; do
    on_day "$days"
    scribble "$work/a.raw" 4096 64
    backup a
    all+=("$point")
done
on_day 0
backup a --retain-until "$(day 10)"
all+=("$point")
equal 9 "$(points a | wc -l)" "number of points"
equal "$(day -40)" "$(value '.time[:10]' rp show "${all[0]}")" "day of the first point"
equal days "$(kept "${all[0]}")" "what keeps the first point"
equal "$(day 325)" "$(value '.kept_until[:10]' rp show "${all[0]}")" "until when it is kept"
equal days,last,retain-until "$(kept "${all[8]}")" "what keeps the newest point"

step "a preview says what the next run deletes, and changes nothing"
change=(policy edit gfs --keep-days 0 --keep-latest 2 --keep-daily 3 --keep-weekly 4)
holdfast "${change[@]}" --dry-run --json >"$work/preview.json"
equal 4 "$(jq .deletes "$work/preview.json")" "points that the change would delete"
equal 1 "$(value .version policy show gfs)" "version of the policy after a preview"
equal 9 "$(points a | wc -l)" "number of points after a preview"
expect 0 holdfast "${change[@]}" --dry-run
said 'would delete: 4'
expect 2 holdfast policy edit gfs --keep-days 0 --dry-run

expect 2 holdfast backup a --retain-until 2020-01-31

step "a hold and a date take two of them out of it"
mapfile -t doomed < <(jq -r '.points[].id' "$work/preview.json")
expect 0 holdfast rp hold "${doomed[0]}"
expect 0 holdfast rp retain "${doomed[1]}" "$(day 3)"
expect 2 holdfast rp retain "${doomed[1]}" 2020-01-31
expect 2 holdfast rp retain "${doomed[1]}" someday
equal 2 "$(value .next_run_deletes "${change[@]}")" "points that the next run deletes"
equal 9 "$(points a | wc -l)" "number of points before the run"
run_retention
points_are() { [ "$(points a | wc -l)" = "$1" ]; }
wait_for 20 points_are 7 || fail "two points should have expired: $(points a | wc -l) are left"
retention_was "recovery point expired" || fail "retention says nothing"
equal "$(printf '%s\n' "${doomed[@]:2}" | sort)" "$(printf '%s\n' "${all[@]}" | sort | comm -23 - <(points a | sort))" \
    "the points that are gone"
expect_error 5 RP_NOT_FOUND "${doomed[2]}" holdfast rp show "${doomed[2]}"
equal held "$(kept "${doomed[0]}")" "what keeps the point on hold"
equal retain-until "$(kept "${doomed[1]}")" "what keeps the point with a date"
expect 0 holdfast rp list a
said 'daily, weekly'
expect 0 holdfast rp hold "${doomed[0]}" --release
expect 0 holdfast rp retain "${doomed[1]}" none
run_retention
wait_for 20 points_are 5 || fail "two points more should have expired"

step "deleted, and taken back"
newest=${all[8]}
expect 0 holdfast rp delete "$newest"
said undelete
equal 4 "$(points a | wc -l)" "number of points after deleting one"
equal "$newest" "$(value '.items[].id' rp list a --deleted)" "the deleted point"
equal deleted "$(point_state "$newest")" "state of the deleted point"
equal admin "$(value .deleted_by rp show "$newest")" "who deleted it"
expect_error 6 RP_DELETED "$newest" holdfast rp delete "$newest"
expect_error 6 RP_DELETED "$newest" holdfast restore vm "$newest" --to-host alpha --name x
expect_error 6 RP_DELETED "$newest" holdfast restore disk "$newest" disk0 --to "$work/x.raw"
expect_error 6 RP_DELETED "$newest" holdfast rp hold "$newest"
scribble "$work/a.raw" 4096 64
backup a
equal "$newest" "$(value .parent rp show "$point")" "the deleted point that the next was made from"
same_disk "$point" disk0 "$work/a.raw"
run_retention
equal "$newest" "$(value '.items[].id' rp list a --deleted)" "the deleted point after a run of retention"
expect 0 holdfast rp undelete "$newest"
expect_error 5 RP_NOT_FOUND "$newest" holdfast rp undelete "$newest"
equal whole "$(point_state "$newest")" "state of the point that is back"

step "purged after two weeks, or at once"
expect 0 holdfast rp delete "$newest"
set_clock 13 53
run_retention
equal deleted "$(point_state "$newest")" "state of the deleted point after 13 days"
set_clock 15 55
run_retention
wait_for 20 retention_was "deleted recovery point purged" || fail "the deleted point is not purged"
expect_error 5 RP_NOT_FOUND "$newest" holdfast rp show "$newest"
equal "" "$(find "$work/server/store/points" -name "$newest*")" "record of the purged point"
gone=$(points a | tail -n 1)
expect 0 holdfast rp delete "$gone"
expect 0 holdfast rp delete "$gone" --now
expect_error 5 RP_NOT_FOUND "$gone" holdfast rp show "$gone"

step "the last good point of a protected VM"
mapfile -t left < <(points a)
for id in "${left[@]:1}"; do
    expect 0 holdfast rp delete "$id"
done
expect_error 6 RP_LAST "${left[0]}" holdfast rp delete "${left[0]}"
expect_error 6 RP_LAST "${left[0]}" holdfast rp delete "${left[0]}" --now
expect 0 holdfast rp delete "${left[0]}" --force
equal waiting "$(value .protection vm show a)" "state of a VM whose points are deleted"
expect 0 holdfast rp undelete "${left[0]}"
expect 0 holdfast group remove web a
expect 0 holdfast rp delete "${left[0]}"
expect 0 holdfast rp undelete "${left[@]}"
equal no-policy "$(kept "${left[0]}")" "what keeps the point of a VM in no group"
