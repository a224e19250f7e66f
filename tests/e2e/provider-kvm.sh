#!/usr/bin/env bash
# The KVM provider by itself on a real libvirt with a booted guest (tests/component/provider_kvm).
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
[ -e "$guest_files/complete" ] || "$top/deploy/guest/build" "$guest_files"
at_end 'libvirt_stop "$work/libvirt"'
libvirt_start "$work/libvirt" alpha
guest_create web1 "$guest_files" "$work/disks"
guest_run web1 "mkdir -p /data/vdb/files; head -c 48M /dev/urandom >/data/vdb/files/rnd.bin; sync"
HOLDFAST_LAB_URI=$libvirt_uri HOLDFAST_LAB_VM=web1 TMPDIR=$work "$HOLDFAST_TESTS/provider_kvm"
