#!/usr/bin/env bash
# A VM that moves between two hosts keeps its protection: live, with shared storage, its chain goes on (bitmaps travel,
# libvirt's metadata does not); with its storage copied, one consistency check. A backup that runs meanwhile is tried
# again on the new host. At a host without an agent its jobs fail and say so, until the agent comes. The agent that it
# leaves may be down meanwhile. Two libvirt daemons on one machine.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
uri_alpha=$libvirt_uri
at_end 'libvirt_stop "$work/libvirt2"'
libvirt_start "$work/libvirt2" beta
uri_beta=$libvirt_uri
libvirt_uri=$uri_alpha
agent_begin beta --libvirt-uri "$uri_beta"
vm_id=$(value .id vm show web1)

# migrate FROM TO [OPTION...]: with leave= its definition stays.
migrate() {
    local from=$1 to=$2
    shift 2
    # shellcheck disable=SC2086 # an option or nothing
    virsh -q -c "$from" migrate --live --persistent ${leave---undefinesource} --unsafe --migrateuri tcp://127.0.0.1 "$@" web1 "$to" ||
        return 1
    libvirt_uri=$to
}
host_of() { value .host vm show "$vm_id"; }
is_on() { [ "$(host_of)" = "$1" ]; }
expect_file() { # the newest point's data disk, restored, has this file
    rm -f "$work/vdb.raw"
    restore_disk "$(newest_point "$vm_id")" vdb "$work/vdb.raw" raw
    debugfs -R "cat $1" "$work/vdb.raw" 2>/dev/null | grep -x "$2" >/dev/null || fail "$1 is not in the recovery point"
}

holdfast backup web1 --wait >/dev/null
guest_run web1 'echo before >/data/vdb/before; sync'

step 'live, with shared storage; its definition stays where it was'
leave='' migrate "$uri_alpha" "$uri_beta"
virsh -q -c "$uri_alpha" list --inactive --name | grep -x web1 >/dev/null || fail "the definition did not stay"
wait_for 30 is_on beta || fail "the server did not notice: $(host_of)"
holdfast vm discover alpha >/dev/null
[ "$(value '[.items[] | select(.name == "web1")] | length' vm list)" = 1 ] || fail "the VM is there twice"
guest_run web1 'echo after >/data/vdb/after; sync'
holdfast backup web1 --wait
expect_mode incremental
expect_file before before
expect_file after after

step 'and back, during a backup'
guest_run web1 'head -c 300M /dev/urandom >/data/vdb/large; echo third >/data/vdb/third; sync'
begin_backup web1
transferring() { [ "$(job_field .progress.done_bytes)" -gt $((16 * 1048576)) ]; }
wait_for 60 transferring || fail "the backup does not begin"
until migrate "$uri_beta" "$uri_alpha" 2>>"$work/migrate.log"; do # libvirt refuses after 30 s of a backup job
    sleep 1
done
wait_job completed 240
wait_for 30 is_on alpha || fail "the server did not notice: $(host_of)"
holdfast backup web1 --wait
expect_mode incremental
expect_file third third

step 'with its storage copied'
mkdir "$work/disks-beta"
for disk in root data; do
    size=$(qemu-img info -U --output=json "$work/disks/web1-$disk.qcow2" | jq '."virtual-size"')
    qemu-img create -q -f qcow2 "$work/disks-beta/web1-$disk.qcow2" "$size"
done
guest_virsh dumpxml web1 --migratable --security-info | sed "s#$work/disks/#$work/disks-beta/#" >"$work/beta.xml"
migrate "$uri_alpha" "$uri_beta" --copy-storage-all --xml "$work/beta.xml" --persistent-xml "$work/beta.xml"
wait_for 30 is_on beta || fail "the server did not notice: $(host_of)"
guest_run web1 'echo fourth >/data/vdb/fourth; sync'
holdfast backup web1 --wait
job=$(last_job)
step "after its storage was copied: $(job_field .mode)"
expect_file fourth fourth
guest_run web1 'echo fifth >/data/vdb/fifth; sync'
holdfast backup web1 --wait
expect_mode incremental
expect_file fifth fifth
expect_checkpoints web1 2
[ "$(holdfast --json vm list | jq '[.items[] | select(.name == "web1")] | length')" = 1 ] || fail "the VM is there twice"

shut_down web1
holdfast backup web1 --wait
for disk in vda:root vdb:data; do
    expect_disk "$(newest_point web1)" "${disk%:*}" "$work/disks-beta/web1-${disk#*:}.qcow2"
done

step 'to a host without an agent'
holdfast policy create web --manual
holdfast group create web --policy web
holdfast group add web web1
boot web1
guest_run web1 'echo sixth >/data/vdb/sixth; sync'
stop alpha
migrate "$uri_beta" "$uri_alpha"
is_away() { [ "$(value .moved_away vm show "$vm_id")" = true ]; }
wait_for 30 is_away || fail "the server did not notice"
holdfast vm show "$vm_id" | grep 'moved away from its host' >/dev/null || fail "vm show does not say that it was moved away"
expect_error 6 VM_MOVED_AWAY beta holdfast backup "$vm_id"
holdfast policy edit web --every 1
scheduled_failed() {
    [ "$(value '.items[0] | "\(.requested_by) \(.state) \(.error.code)"' job list --limit 1)" = "schedule failed VM_MOVED_AWAY" ]
}
wait_for 130 scheduled_failed || fail "the scheduled backup did not fail as it should: $(holdfast job list --limit 1)"
value '.items[0].error.message' job list --limit 1 | grep beta >/dev/null || fail "the host that it left is not named"
holdfast policy edit web --manual

step 'and its agent comes'
agent_start alpha --libvirt-uri "$uri_alpha"
wait_for 30 is_on alpha || fail "the server did not notice: $(host_of)"
is_away && fail "it is still shown as moved away"
holdfast backup "$vm_id" --wait
expect_mode incremental
expect_file sixth sixth
[ "$(holdfast --json vm list | jq '[.items[] | select(.name == "web1")] | length')" = 1 ] || fail "the VM is there twice"

step 'while the agent that it leaves is down: the new host takes it over'
stop alpha
wait_for 30 host_is alpha unreachable || fail "the server does not notice that the agent has gone"
migrate "$uri_alpha" "$uri_beta"
wait_for 30 is_on beta || fail "the server did not notice: $(host_of)"
guest_run web1 'echo seventh >/data/vdb/seventh; sync'
holdfast backup web1 --wait
expect_mode incremental
expect_file seventh seventh

step 'likewise, to a host without an agent: it is said that no host has it, until one does'
stop beta
wait_for 30 host_is beta unreachable || fail "the server does not notice that the agent has gone"
migrate "$uri_beta" "$uri_alpha"
agent_start beta --libvirt-uri "$uri_beta"
is_gone() { [ "$(value .present vm show "$vm_id")" = false ]; }
wait_for 30 is_gone || fail "the server did not notice"
expect_error 5 VM_NOT_FOUND 'no other host reports it' holdfast backup "$vm_id"
agent_start alpha --libvirt-uri "$uri_alpha"
wait_for 30 is_on alpha || fail "the server did not notice: $(host_of)"
holdfast backup "$vm_id" --wait
expect_mode incremental
[ "$(holdfast --json vm list | jq '[.items[] | select(.name == "web1")] | length')" = 1 ] || fail "the VM is there twice"
