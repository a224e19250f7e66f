#!/usr/bin/env bash
# Restores of a VM of three disks with all that belongs to it (UEFI variables, TPM, boot order), to a storage pool, to another
# network, in another format; and restores that fail, are cancelled or lose their agent: the target is as before.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
requires swtpm
ovmf=/usr/share/OVMF
[ -e "$ovmf/OVMF_CODE_4M.fd" ] || fail "this test needs ovmf"

# agents see what their libvirt sees: its directories below /var/lib/libvirt are the test's own
on_host() { # shellcheck disable=SC2016 # expanded by that shell
    exec nsenter -t "$(head -n 1 "$work/libvirt/libvirtd.pid")" -m -u -- sh -c 'hostname "$0" && exec "$@"' "$@"
}
in_libvirt() { nsenter -t "$(head -n 1 "$work/libvirt/libvirtd.pid")" -m -- "$@"; }

[ -e "$guest_files/complete" ] || "$top/deploy/guest/build" "$guest_files"
at_end 'libvirt_stop "$work/libvirt"; libvirt_logs "$work/libvirt"'
libvirt_start "$work/libvirt" alpha

step 'a VM with UEFI, a TPM and a network of its own'
for network in first second; do
    guest_virsh net-define /dev/stdin <<<"<network><name>$network</name></network>" >/dev/null
done
mkdir -p "$work/disks" "$work/pool" "$work/restored" "$work/guest"
cp "$guest_files/vmlinuz" "$guest_files/initrd.img" "$work/guest/" # its own: one goes away below, and other tests boot
for disk in root data; do cp --sparse=always "$guest_files/$disk.qcow2" "$work/disks/web1-$disk.qcow2"; done
make_image "$work/third.raw" 64 24
qemu-img convert -q -f raw -O qcow2 "$work/third.raw" "$work/disks/web1-third.qcow2"
third="<disk type='file'><driver name='qemu' type='qcow2'/><source file='$work/disks/web1-third.qcow2'/><target dev='vdc' bus='virtio'/></disk>"
sed -e 's#@NAME@#web1#g' -e "s#@GUEST@#$work/guest#g" -e "s#@DISKS@#$work/disks#g" \
    -e "s#<kernel>#<loader readonly='yes' type='pflash'>$ovmf/OVMF_CODE_4M.fd</loader><nvram template='$ovmf/OVMF_VARS_4M.fd'>$work/disks/web1_VARS.fd</nvram><kernel>#" \
    -e "s#<memballoon#$third<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm><interface type='network'><source network='first'/><model type='virtio'/></interface><memballoon#" \
    "$top/deploy/guest/domain.xml.in" >"$work/web1.xml"
guest_virsh define "$work/web1.xml" >/dev/null
for network in first second; do guest_virsh net-start "$network" >/dev/null; done
guest_virsh start web1
guest_wait web1
uuid=$(guest_virsh domuuid web1)
tpm=/var/lib/libvirt/swtpm/$uuid/tpm2/tpm2-00.permall
in_libvirt test -s "$tpm" || fail "the TPM keeps nothing"

server_begin
enrol alpha "$(value .token host token)" >>"$work/enrol.log"
agent_start alpha --libvirt-uri "$libvirt_uri"
wait_for 60 holdfast vm show web1 || fail "the agent did not report web1"
shut_down web1
cp "$work/disks/web1_VARS.fd" "$work/vars.fd"
in_libvirt cat "$tpm" >"$work/tpm"
holdfast backup web1 --wait
point=$(newest_point web1)

step 'to a pool, with another network, as raw disks: firmware and TPM come along'
guest_virsh pool-define-as fast dir --target "$work/pool" >/dev/null
expect_error 1 RESTORE_TARGET_MISSING fast holdfast restore vm "$point" --to-host alpha --name web2 --pool fast --wait
guest_virsh pool-start fast >/dev/null
expect_error 1 RESTORE_TARGET_MISSING nowhere \
    holdfast restore vm "$point" --to-host alpha --name web2 --pool fast --network first=nowhere --wait
expect_error 1 REQUEST_INVALID third holdfast restore vm "$point" --to-host alpha --name web2 --pool fast --network third=second --wait
expect_error 2 REQUEST_INVALID OLD=NEW holdfast restore vm "$point" --to-host alpha --name web2 --network second
[ -z "$(ls "$work/pool")" ] || fail "a refused restore leaves files: $(ls "$work/pool")"
holdfast restore vm "$point" --to-host alpha --name web2 --pool fast --network first=second --format raw --wait
same_file "$work/vars.fd" "$work/pool/web2_VARS.fd"
copy=$(guest_virsh domuuid web2)
in_libvirt cat "/var/lib/libvirt/swtpm/$copy/tpm2/tpm2-00.permall" >"$work/tpm-copy"
same_file "$work/tpm" "$work/tpm-copy"
[ "$copy" != "$uuid" ] || fail "two VMs share a UUID"
guest_virsh dumpxml web2 --inactive >"$work/web2.xml"
grep -q "source network='second'" "$work/web2.xml" || fail "it is not on the other network"
grep -q "type='raw'" "$work/web2.xml" || fail "its disks are not raw"
! grep -q "$work/disks" "$work/web2.xml" || fail "it uses what belongs to web1"
! grep -q 'holdfast:' "$work/web2.xml" || fail "what was kept with the backup is in the definition"
guest_virsh vol-list fast >"$work/volumes"
grep -q web2-vda.raw "$work/volumes" || fail "the pool does not list its volumes"
expect_disk "$point" vdb "$work/pool/web2-vdb.raw" raw
same_file "$work/third.raw" "$work/pool/web2-vdc.raw"
boot web2
guest_virsh destroy web2
guest_virsh undefine web2 --nvram --checkpoints-metadata >/dev/null

step 'in place: disks, variables and TPM go back to the point'
printf 'other' | dd of="$work/disks/web1_VARS.fd" conv=notrunc status=none
in_libvirt sh -c "echo other >$tpm"
qemu-img bitmap --list "$work/disks/web1-data.qcow2" >/dev/null 2>&1 || true
holdfast restore vm "$point" --to-original --wait
same_file "$work/vars.fd" "$work/disks/web1_VARS.fd"
in_libvirt cat "$tpm" >"$work/tpm-now"
same_file "$work/tpm" "$work/tpm-now"
equal "$uuid" "$(guest_virsh domuuid web1)" "UUID of web1"

# what a failed restore must not change
before() {
    guest_virsh dumpxml web1 --inactive >"$work/before.xml"
    sha256sum "$work"/disks/*.qcow2 "$work/disks/web1_VARS.fd" >"$work/before.sums"
}
expect_as_before() {
    guest_virsh dumpxml web1 --inactive >"$work/after.xml"
    same_file "$work/before.xml" "$work/after.xml"
    sha256sum --quiet -c "$work/before.sums" || fail "files of web1 have changed"
    [ "$(find "$work/disks" -type f | wc -l)" = 4 ] || fail "files were left behind: $(ls "$work/disks")"
    [ -z "$(ls "$work/restored")" ] || fail "files were left behind: $(ls "$work/restored")"
}

step 'the restored VM does not start: everything goes back'
printf '\n' >>"$work/disks/web1_VARS.fd"
truncate -s 540672 "$work/disks/web1_VARS.fd"
boot web1
guest_run web1 'head -c 3M /dev/urandom >/data/vdb/newer; sync'
shut_down web1
before
mv "$work/guest/initrd.img" "$work/initrd.img"
expect_error 1 RESTORE_FAILED web1 holdfast restore vm "$point" --to-original --start --wait
mv "$work/initrd.img" "$work/guest/initrd.img"
expect_as_before

step 'cancelled: as before'
begin_restore() { job=$(value .id restore vm "$point" "$@"); }
moving() { [ "$(job_field .progress.done_bytes)" -gt $((4 * 1048576)) ]; }
begin_restore --to-original --bandwidth 4M
wait_for 60 moving || fail "the restore does not begin"
holdfast job cancel "$job" >/dev/null
wait_job cancelled 60
expect_as_before

step 'the agent is killed: as before'
begin_restore --to-host alpha --name web3 --dir "$work/restored" --bandwidth 4M
wait_for 60 moving || fail "the restore does not begin"
kill_hard alpha
agent_start alpha --libvirt-uri "$libvirt_uri"
wait_job failed 60
expect_as_before
! guest_virsh dominfo web3 2>/dev/null || fail "a half-made VM is defined"
begin_restore --to-original --bandwidth 4M
wait_for 60 moving || fail "the restore does not begin"
kill_hard alpha
agent_start alpha --libvirt-uri "$libvirt_uri"
wait_job failed 60
expect_as_before
boot web1
guest_run web1 'test -s /data/vdb/newer' || fail "web1 lost what it had"
