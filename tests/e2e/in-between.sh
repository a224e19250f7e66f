#!/usr/bin/env bash
# What happens to the host in the middle of a backup: libvirtd is killed or restarted, the VM is powered off or started.
# The guest is never harmed, nothing is left behind, and the next backup is right.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1

transferring() { [ "$(job_field .progress.done_bytes)" -gt $((16 * 1048576)) ]; }
begin_large() { # a backup that takes a few seconds
    guest_run web1 'head -c 300M /dev/urandom >/data/vdb/large; sync'
    begin_backup web1
    wait_for 60 transferring || fail "the backup does not begin"
}
expect_same() { expect_disk "$(newest_point web1)" vdb "$work/disks/web1-data.qcow2"; }
holdfast backup web1 --wait >/dev/null

step 'libvirtd is killed and starts again'
begin_large
libvirtd=$(head -n 1 "$work/libvirt/libvirtd.pid")
kill -9 "$libvirtd"
wait_for 10 ended "$libvirtd" || fail "libvirtd could not be killed"
libvirt_start "$work/libvirt" alpha
guest_run web1 'echo alive >/data/vdb/alive; sync'
wait_for 240 job_ended || fail "the job does not end"
[ "$(job_field .state)" = completed ] || fail "not completed: $(job_field .error)"
no_job() { ! guest_virsh domjobinfo web1 | grep 'Operation: *Backup' >/dev/null; }
wait_for 30 no_job || fail "the backup job was not ended"
expect_clean_host web1
guest_run web1 'echo more >>/data/vdb/alive; sync'
holdfast backup web1 --wait >/dev/null
expect_mode incremental
expect_clean_host web1

# libvirt 9 loses the guest agent of a guest that boots during a backup job, whoever's it is, so this looks at the disk
step 'the guest is reset while it is read'
begin_large
reads() { guest_virsh domblkstat web1 vda | awk '$2 == "rd_req" {print $3} $1 == "vda" && $2 == "rd_req" {print $3}' | head -n 1; }
before=$(reads)
guest_virsh reset web1
booted() { [ "$(reads)" -gt $((before + 100)) ]; }
wait_for 60 booted || fail "the guest does not boot during a backup"
wait_for 240 job_ended || fail "the job does not end"
[ "$(job_field .state)" = completed ] || fail "not completed: $(job_field .error)"
guest_is web1 running || fail "the guest does not run"
guest_virsh destroy web1
boot web1

step 'the VM is powered off while it is read'
begin_large
guest_virsh destroy web1
wait_for 240 job_ended || fail "the job does not end"
[ "$(job_field .state)" = completed ] || fail "not completed: $(job_field .error)"
wait_for 10 guest_is web1 'shut off' || fail "the VM is not off"
holdfast backup web1 --wait >/dev/null
expect_same

step 'the VM is started while its files are read'
boot web1
guest_run web1 'head -c 400M /dev/urandom >/data/vdb/large; sync'
shut_down web1
begin_backup web1 --bandwidth 40M # so that it is still read when the VM runs
wait_for 60 transferring || fail "the backup does not begin"
boot web1
wait_for 240 job_ended || fail "the job does not end"
[ "$(job_field .state)" = completed ] || fail "not completed: $(job_field .error)"
[ "$(value .consistency rp show "$(newest_point web1)")" = filesystem ] || fail "a booting guest's agent was not waited for"
expect_clean_host web1
guest_run web1 'echo last >>/data/vdb/alive; sync'
shut_down web1
holdfast backup web1 --wait >/dev/null
expect_same
