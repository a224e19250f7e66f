#!/usr/bin/env bash
# The main job: a running guest is backed up, changed, backed up by its dirty blocks only, restored as a new VM beside the
# original and in place, and the restored VMs boot with the right data.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
guest_run web1 'echo one >/data/vdb/story; sync'

holdfast backup web1 --wait
expect_mode full
first=$(newest_point web1)
[ "$(holdfast --json rp show "$first" | jq -r .consistency)" = filesystem ] ||
    fail "not consistent: $(holdfast --json rp show "$first" | jq -r .consistency_reason)"
expect_clean_host web1

guest_run web1 'echo two >>/data/vdb/story; head -c 8M /dev/urandom >/data/vdb/new; sync'
holdfast backup web1 --wait
expect_mode incremental
second=$(newest_point web1)
read_bytes=$(holdfast --json rp show "$second" | jq -r .read_bytes)
sent=$(job_field .sent_bytes)
# what the guest wrote, its file systems' own blocks included, and little else
[ "$read_bytes" -lt $((24 * 1048576)) ] || fail "an incremental read $read_bytes bytes"
[ "$sent" -lt $((read_bytes * 11 / 10)) ] || fail "$sent bytes travelled for $read_bytes dirty ones"
expect_clean_host web1

# the host's own truth, while nothing writes: the disk as a file equals the guest's disk
shut_down web1
holdfast backup web1 --wait
off_point=$(newest_point web1)
[ "$(holdfast --json rp show "$off_point" | jq -r .consistency)" = crash ] || fail "an off VM is crash-consistent"
expect_disk "$off_point" vda "$work/disks/web1-root.qcow2"
expect_disk "$off_point" vdb "$work/disks/web1-data.qcow2"
boot web1
holdfast backup web1 --wait

# as a new VM beside the original, which goes on running
mkdir "$work/restored"
holdfast restore vm "$second" --to-host alpha --name web2 --dir "$work/restored" --start --wait
guest_wait web2
[ "$(guest_run web2 'cat /data/vdb/story' | tr '\n' ' ')" = 'one two ' ] || fail "the new VM has other data"
guest_is web1 running || fail "the original does not run"
[ "$(guest_virsh domuuid web1)" != "$(guest_virsh domuuid web2)" ] || fail "two VMs share an identity"
expect_code RESTORE_NAME_TAKEN holdfast restore vm "$second" --to-host alpha --name web2 \
    --dir "$work/restored" --wait
guest_virsh destroy web2 >/dev/null

# in place
expect_code RESTORE_VM_RUNNING holdfast restore vm "$first" --to-original --wait
holdfast restore vm "$first" --to-original --stop --start --wait
guest_wait web1
[ "$(guest_run web1 'cat /data/vdb/story')" = one ] || fail "the restored VM has other data"
# and it is protected again without anybody
guest_run web1 'echo three >>/data/vdb/story; sync'
holdfast backup web1 --wait
holdfast backup web1 --wait
expect_mode incremental
expect_clean_host web1
holdfast store verify --wait
