#!/usr/bin/env bash
# The limits: 32 disks in one VM, and a disk of 64 TiB. Only what is allocated is read; a change is found again.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1
guest_virsh destroy web1

disks=$work/disks
{
    printf '<controller type="scsi" index="0" model="virtio-scsi"/>'
    for i in $(seq 1 30); do
        letter=$(printf "\\x$(printf %x $((96 + (i - 1) % 26 + 1)))")
        target=sd$([ "$i" -le 26 ] || printf a)$letter
        if [ "$i" = 30 ]; then size=64T; large=$target; else size=1G; fi
        qemu-img create -q -f qcow2 "$disks/$target.qcow2" $size
        qemu-io -f qcow2 -c "write -P $i 256k 256k" "$disks/$target.qcow2" >/dev/null
        printf '<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="%s"/><target dev="%s" bus="scsi"/></disk>' \
            "$disks/$target.qcow2" "$target"
    done
} >"$work/more.xml"
large=$(grep -o 'dev="sda[a-z]"' "$work/more.xml" | tail -n 1 | cut -d'"' -f2)
qemu-io -f qcow2 -c 'write -P 77 63T 1M' "$disks/$large.qcow2" >/dev/null
guest_virsh dumpxml web1 --inactive --security-info | sed "s#</devices>#$(cat "$work/more.xml")</devices>#" >"$work/web1.xml"
guest_virsh define "$work/web1.xml" >/dev/null
guest_virsh start web1
guest_wait web1
holdfast vm discover alpha >/dev/null
[ "$(value '.disks | length' vm show web1)" = 32 ] || fail "not 32 disks"

step 'the first backup'
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .state)" = completed ] || fail "$(job_field .error)"
expect_clean_host web1
step 'an incremental one'
holdfast backup web1 --wait
job=$(last_job)
[ "$(job_field .mode)" = incremental ] || fail "$(job_field .reason)"
[ "$(job_field .sent_bytes)" -lt $((4 * 1048576)) ] || fail "an idle VM sent $(job_field .sent_bytes) bytes"

step 'back from it'
point=$(newest_point web1)
holdfast restore disk "$point" sdb --to "$work/sdb.raw" --format raw
qemu-img compare -q -U -f raw -F qcow2 "$work/sdb.raw" "$disks/sdb.qcow2" || fail "sdb differs"
holdfast restore disk "$point" "$large" --to "$work/large.qcow2" --format qcow2
for place in '63T 1M 77' '256k 256k 30'; do
    set -- $place
    qemu-io -f qcow2 -c "read -P $3 $1 $2" "$work/large.qcow2" | grep 'Pattern verification failed' >/dev/null && fail "wrong data at $1"
done
[ "$(qemu-img info --output=json "$work/large.qcow2" | jq '."virtual-size"')" = $((64 << 40)) ] || fail "not 64 TiB"
[ "$(du -m "$work/large.qcow2" | cut -f1)" -lt 64 ] || fail "holes were filled: $(du -m "$work/large.qcow2" | cut -f1) MiB"
