#!/usr/bin/env bash
# The disks of a running guest were copied to a removable disk: its first backup sends what differs, is incremental from
# then on, and boots.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
agent_begin beside
step "the copy, while the guest runs"
mkdir "$work/usb"
options=()
files=()
for disk in $(value '.disks[].name' vm show web1); do
    path=$(value ".disks[] | select(.name == \"$disk\") | .path" vm show web1)
    qemu-img convert -U -O qcow2 "$path" "$work/usb/$disk.qcow2"
    options+=(--disk "$disk=disk${#files[@]}")
    files+=("$work/usb/$disk.qcow2")
done
guest_run web1 'echo before >/data/vdb/story; sync'
add_image beside web1-carried "${files[@]}"
holdfast backup web1-carried --wait
carried=$(newest_point web1-carried)
whole=$(job=$(last_job) && job_field .sent_bytes)
expect_error 5 DISK_NOT_FOUND vda holdfast seed web1 --from "$carried"
holdfast seed web1 --from "$carried" "${options[@]}"
holdfast vm show web1
step "the first backup"
holdfast backup web1 --wait
expect_mode check
job_field .reason | grep 'The first copy was seeded' >/dev/null || fail "it does not say why: $(job_field .reason)"
less "$(job_field .sent_bytes)" $((whole / 4)) "bytes sent by the first backup"
holdfast job show "$job"
guest_run web1 'echo after >>/data/vdb/story; sync'
holdfast rp delete "$carried" --now
holdfast store gc --wait
holdfast backup web1 --wait
expect_mode incremental
expect_clean_host web1
mkdir "$work/restored"
holdfast restore vm "$(newest_point web1)" --to-host alpha --name web2 --dir "$work/restored" --start --wait
guest_wait web2
[ "$(guest_run web2 'cat /data/vdb/story' | tr '\n' ' ')" = 'before after ' ] || fail "the data is wrong"
