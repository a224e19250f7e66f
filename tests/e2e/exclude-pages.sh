#!/usr/bin/env bash
# Swapped-out memory is left out of backups when the policy says so: the swap partition of a disk and the swap file of a
# file system come back as zeros behind their first page, everything else comes back as it was. What was left out and is
# no longer comes back, too.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
requires sfdisk mkswap debugfs e2fsck
guest_begin web1
disks=$work/disks
mib=1048576

# A disk with a swap partition from 1 MiB on and other data behind it, all of it random bytes.
make_swap_disk() {
    scribble "$work/swap.raw" 0 $((96 * 1024))
    dd if=/dev/zero of="$work/swap.raw" bs=1M count=1 conv=notrunc status=none
    printf 'label: gpt\nstart=2048, size=131072, type=S\nstart=133120, size=32768, type=L\n' | sfdisk -q "$work/swap.raw"
    scribble "$work/partition" 0 $((64 * 1024))
    chmod 600 "$work/partition"
    mkswap "$work/partition" >/dev/null
    dd if="$work/partition" of="$work/swap.raw" bs=1M seek=1 conv=notrunc status=none
    qemu-img convert -O qcow2 "$work/swap.raw" "$disks/swap.qcow2"
}

# zeros_or_same ORIGINAL RESTORED FIRST END: in chunks of 64 KiB: zeros where they lie in FIRST..END, the same elsewhere.
# Without FIRST and END: either; prints how many bytes are zeros that were not.
zeros_or_same() {
    "$python" - "$@" <<'P'
import sys
chunk, zero, gone, at = 65536, bytes(65536), 0, 0
first, end = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 3 else (None, None)
with open(sys.argv[1], "rb") as original, open(sys.argv[2], "rb") as restored:
    while True:
        was, now = original.read(chunk), restored.read(chunk)
        if not was and not now:
            break
        cleared = was != now and now == zero
        if was != now and not cleared or first is not None and cleared != (first <= at and at + chunk <= end):
            sys.exit("at %d: %s" % (at, "zeros" if now == zero else "other bytes"))
        gone += len(now) if cleared else 0
        at += len(now)
print(gone)
P
}

swap_signature() { dd if="$1" bs=1 skip=$(($2 + 4086)) count=10 status=none; }
left_out() { job=$(last_job) && job_field '.log[].message' | grep -F 'left out'; }

# expect_data FILE WHOLE: the file system is clean, its files are what they were; its swap file is not, but for its first page.
expect_data() {
    e2fsck -fn "$1" >"$work/fsck.log" 2>&1 || { cat "$work/fsck.log" >&2; fail "the restored file system is damaged"; }
    debugfs -R "dump /random.bin $work/random.bin" "$1" 2>/dev/null
    equal "$random" "$(sha256sum <"$work/random.bin")" "the checksum of random.bin"
    debugfs -R "dump /swapfile $work/swapfile" "$1" 2>/dev/null
    equal SWAPSPACE2 "$(swap_signature "$work/swapfile" 0)" "the signature of the swap file"
    local packed
    packed=$(gzip -1 <"$work/swapfile" | wc -c)
    if [ "$2" = whole ]; then
        [ "$packed" -gt $((46 * mib)) ] || fail "only $packed bytes of the swap file are stored"
    else
        [ "$packed" -lt $((2 * mib)) ] || fail "$packed bytes of the swap file are stored"
    fi
}

restore_both() { # restore_both POINT
    rm -f "$work/vdb.raw" "$work/vdc.raw"
    restore_disk "$1" vdb "$work/vdb.raw" raw
    restore_disk "$1" vdc "$work/vdc.raw" raw
}

step 'a guest with a swap partition and a swap file'
make_swap_disk
guest_virsh attach-disk web1 "$disks/swap.qcow2" vdc --targetbus virtio --driver qemu --subdriver qcow2 --persistent >/dev/null
wait_for 10 guest_run web1 'test -b /dev/vdc1' || fail "the guest does not see its partition"
guest_run web1 'cd /data/vdb && { head -c 64K /dev/zero; head -c 49086464 /dev/urandom; } >swapfile && chmod 600 swapfile && busybox mkswap swapfile >/dev/null &&
    sync && busybox swapon swapfile && grep -q swapfile /proc/swaps' || fail "the guest has no swap"
random=$(guest_run web1 'sha256sum </data/vdb/random.bin')
holdfast policy create lean --manual --exclude-pages | grep 'left out' >/dev/null || fail "the policy does not say so"
holdfast group create lean --policy lean --vm web1 >/dev/null

step 'a full backup'
holdfast backup web1 --wait
expect_mode full
equal completed "$(job_field .state)" "the state of the job"
left_out | grep '^vdc: 63.9 MiB of swap left out' >/dev/null || fail "the log says: $(left_out)"
left_out | grep '^vdb: 4[678].* MiB of swap left out' >/dev/null || fail "the log says: $(left_out)"
less "$(job_field .sent_bytes)" $((130 * mib)) "what was sent"
first=$(newest_point web1)
restore_both "$first"
equal $((64 * mib - 65536)) "$(zeros_or_same "$work/swap.raw" "$work/vdc.raw" $((mib + 4096)) $((65 * mib)))" \
    "the bytes of the partition that are zeros"
equal SWAPSPACE2 "$(swap_signature "$work/vdc.raw" $mib)" "the signature of the partition"
expect_data "$work/vdb.raw" zeros
expect_clean_host web1

step 'an incremental backup after more was swapped out'
guest_run web1 'head -c 40M /dev/urandom | dd of=/dev/vdc1 bs=1M seek=2 oflag=direct iflag=fullblock status=none
    busybox swapoff /data/vdb/swapfile
    head -c 40M /dev/urandom | dd of=/data/vdb/swapfile bs=1M seek=2 conv=notrunc,fsync iflag=fullblock status=none
    busybox swapon /data/vdb/swapfile'
holdfast backup web1 --wait
expect_mode incremental
less "$(job_field .sent_bytes)" $((8 * mib)) "what was sent"
restore_both "$(newest_point web1)"
zeros_or_same "$work/swap.raw" "$work/vdc.raw" $((mib + 4096)) $((65 * mib)) >/dev/null
expect_data "$work/vdb.raw" zeros

step 'the option is off: what was left out is stored, also what did not change since'
holdfast policy edit lean --include-pages >/dev/null
holdfast backup web1 --wait
expect_mode incremental
left_out && fail "swap is left out"
last=$(newest_point web1)
restore_both "$last"
expect_data "$work/vdb.raw" whole
equal "$(guest_run web1 'sha256sum </dev/vdc1')" "$(dd if="$work/vdc.raw" bs=1M skip=1 count=64 status=none | sha256sum)" \
    "the checksum of the partition"

step 'a VM that is off'
holdfast policy edit lean --exclude-pages >/dev/null
shut_down web1
holdfast backup web1 --wait
left_out | grep '^vdc: 63.9 MiB of swap left out' >/dev/null || fail "the log says: $(left_out)"
restore_both "$(newest_point web1)"
qemu-img convert -O raw "$disks/web1-data.qcow2" "$work/data.raw"
[ "$(zeros_or_same "$work/data.raw" "$work/vdb.raw")" -gt $((46 * mib)) ] || fail "the swap file of the VM that is off is stored"
expect_data "$work/vdb.raw" zeros

step 'a system sleeps on one disk: nothing is left out of any, and what the last point left out is back'
dd if="$work/vdc.raw" of="$work/page" bs=4096 skip=256 count=1 status=none
printf 'S1SUSPEND\0' | dd of="$work/page" bs=1 seek=4086 conv=notrunc status=none
qemu-io -c "write -s $work/page $mib 4096" "$disks/swap.qcow2" >/dev/null
holdfast backup web1 --wait
expect_mode incremental
job_field '.log[].message' | grep 'a system sleeps on vdc' >/dev/null || fail "the log does not say that a system sleeps"
last=$(newest_point web1)
expect_disk "$last" vdb "$disks/web1-data.qcow2"
expect_disk "$last" vdc "$disks/swap.qcow2"
holdfast store verify --wait
