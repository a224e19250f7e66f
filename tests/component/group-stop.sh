#!/usr/bin/env bash
# Protection groups: validated before anything is stored, each change a job; stopped with the data kept or deleted, resumed;
# VMs that vanished and hosts that were retired.
. "$(dirname "$0")/../lib/test.sh"
server_begin
agent_begin alpha
agent_begin beta
for name in a b; do
    make_image "$work/$name.raw" 8 1
    add_image alpha "$name" "$work/$name.raw"
done
make_image "$work/c.raw" 8 1
add_image beta c "$work/c.raw"
state() { value .protection vm show "$1"; }
configured() { value "[.items[] | select(.type == \"configure-group\") | .state] | .[$1]" job list; }

step "validation"
expect 0 holdfast policy create plan --manual --keep-latest 5
expect 0 holdfast group create web --policy plan --vm a --dry-run
said 'can be protected'
expect_error 5 GROUP_NOT_FOUND web holdfast group show web
equal null "$(configured 0)" "job of a validation"
expect 0 holdfast group create web --policy plan --vm a
equal completed "$(configured 0)" "job that made the group"
equal waiting "$(state a)" "state of a before its first point"
expect 1 holdfast group create other --policy plan --vm a --vm b --dry-run
said VM_ALREADY_PROTECTED
equal VM_ALREADY_PROTECTED "$(holdfast group create other --policy plan --vm a --dry-run --json | jq -r '.findings[0].code')" \
    "what is wrong in JSON"
expect_error 6 VM_ALREADY_PROTECTED web holdfast group create other --policy plan --vm b --vm a
equal failed "$(configured 0)" "job of the group that could not be made"
expect_error 5 GROUP_NOT_FOUND other holdfast group show other
equal null "$(value .group vm show b)" "group of b after the refusal"
expect_error 6 NAME_TAKEN web holdfast group create web --policy plan --vm b --dry-run
expect 2 holdfast group create 1x --policy plan --dry-run
stop beta
wait_for 20 host_is beta unreachable
expect 1 holdfast group add web b c --dry-run
said HOST_UNREACHABLE
expect_error 6 HOST_UNREACHABLE c holdfast group add web b c
agent_start beta
expect 0 holdfast group add web b c
equal 3 "$(value '.vms | length' group show web)" "members of web"

step "a failing member"
backup a
backup b
backup c
equal protected "$(state b)" "state of b"
mv "$work/b.raw" "$work/b.away"
begin_backup b
wait_job failed
equal failing "$(state b)" "state of b after a failed backup"
equal failing "$(value '.vms[] | select(.name == "b") | .protection' group show web)" "state of b in the group"
mv "$work/b.away" "$work/b.raw"
backup b
equal protected "$(state b)" "state of b after a backup that succeeded"

step "stopped with its data, and resumed"
expect 2 holdfast group stop web --retain-data --delete-data
expect_error 5 GROUP_NOT_FOUND nogroup holdfast group stop nogroup
expect 0 holdfast group stop web --retain-data
said stopped
equal stopped "$(state a)" "state of a in a stopped group"
equal 1 "$(points a | wc -l)" "points of a in a stopped group"
equal no-policy "$(value '.kept[0]' rp show "$(newest_point a)")" "what keeps points of a stopped group"
expect 0 holdfast group resume web
equal protected "$(state a)" "state of a in a resumed group"

step "stopped without its data, and undone"
held=$(newest_point b)
expect 0 holdfast rp hold "$held"
expect 0 holdfast group stop web --delete-data
said 'deleted: 3'
said 'locked or on hold and stay: 1'
equal "$held" "$(points b)" "points of b that stay"
equal "" "$(points a)" "points of a"
equal 1 "$(value '.items | length' rp list a --deleted)" "deleted points of a"
equal completed-with-warnings "$(configured 0)" "job of the stop"
expect 0 holdfast group resume web
said 'back: 3'
equal 2 "$(points b | wc -l)" "points of b after the resume"
same_disk "$(newest_point a)" disk0 "$work/a.raw"
expect 0 holdfast group resume web
equal 0 "$(value .points.undeleted group resume web)" "points that a second resume brings back"
expect 0 holdfast rp hold "$held" --release

step "a VM that vanished"
"$HOLDFAST_BIN/holdfast-agent" remove-image b --data "$work/alpha" >>"$work/enrol.log"
holdfast vm discover alpha >/dev/null
wait_for 20 eval '[ "$(state b)" = vanished ]' || fail "b has not vanished"
expect 0 holdfast restore vm "$held" --to-host beta --name b-again --dir "$work" --wait
cp "$work/b.raw" "$work/kept.raw"
same_disk "$(newest_point b)" disk0 "$work/kept.raw"
expect 0 holdfast group remove web b --delete-data
equal unprotected "$(state b)" "state of b"
equal "" "$(points b)" "points of b"
expect 0 holdfast rp undelete "$held"
equal "$held" "$(points b)" "point of b that is back"

step "a host that is retired"
stop beta
expect 0 holdfast host retire beta
equal vanished "$(state beta/c)" "state of a VM of a retired host"
equal 1 "$(points beta/c | wc -l)" "its points"
equal protected "$(state a)" "state of the group's other VM"
backup a
expect 0 holdfast group remove web beta/c
equal 1 "$(points beta/c | wc -l)" "its points when it is out of the group"

expect 0 holdfast group delete web
equal "group web is deleted" "$(value '.items[0].reason' job list --type configure-group)" "the last job"
equal unprotected "$(state a)" "state of a without its group"

step "a change that the server's end interrupts is told as failed"
stop server
"$python" - "$work/server/catalog.db" <<'P'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as catalog:
    catalog.execute("UPDATE jobs SET state = 'running', finished_ms = 0 WHERE number = "
                    "(SELECT MAX(number) FROM jobs WHERE type = 'configure-group')")
P
server_start
equal failed "$(configured 0)" "job that was under way"
