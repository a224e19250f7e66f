#!/usr/bin/env bash
# 500 VMs are reported; every change at the hypervisor is seen without anybody asking; a burst of changes is a few
# reports, and the last one is right. VMs of a libvirt of the test's own, none of which boots.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
vms=500
burst=200
rounds=5

define_xml() { # define_xml NAME: writes NAME.xml and its disk
    cp --sparse=always "$work/empty.qcow2" "$work/disks/$1.qcow2"
    cat >"$work/disks/$1.xml" <<X
<domain type="qemu"><name>$1</name><uuid>$(cat /proc/sys/kernel/random/uuid)</uuid><memory unit="MiB">16</memory>
<os><type arch="x86_64" machine="pc">hvm</type></os><features><acpi/></features>
<devices><disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="$work/disks/$1.qcow2"/>
<target dev="vda" bus="virtio"/></disk></devices></domain>
X
}
names() { seq -f 'vm%03g' "$1" "$2"; }
count() { holdfast --json vm list | jq '[.items[] | select(.present)] | length'; }
has() { [ "$(count)" = "$1" ]; }
vm_is() { [ "$(value "$2" vm show "$1")" = "$3" ]; }
seen() { # seen WHAT COMMAND...: soon, by itself
    local what=$1
    shift
    wait_for 20 "$@" || fail "$what was not seen"
}
reports() { grep -c '"VMs reported"' "$work/server.log"; }
settled() { # nothing was reported for three seconds
    local count
    count=$(reports)
    sleep 3
    [ "$(reports)" = "$count" ]
}
now_ms() { date +%s%3N; }

step "$vms VMs"
at_end 'libvirt_stop "$work/libvirt"; libvirt_logs "$work/libvirt"'
libvirt_start "$work/libvirt" alpha
mkdir "$work/disks"
qemu-img create -q -f qcow2 "$work/empty.qcow2" 64M
for name in $(names 1 $((vms + 1))); do
    define_xml "$name"
done
names 1 $vms | sed "s#.*#define $work/disks/&.xml#" | guest_virsh >/dev/null
server_init
printf 'log-level = debug\n' >>"$work/server/holdfastd.conf"
server_start
enrol alpha "$(value .token host token)" >>"$work/enrol.log"
printf 'log-level = debug\n' >"$work/alpha/agent.conf"
agent_start alpha --libvirt-uri "$libvirt_uri"
wait_for 60 has $vms || fail "$(count) VMs are known instead of $vms"
begun=$(now_ms)
holdfast vm discover alpha >/dev/null
step "vm discover: $(($(now_ms) - begun)) ms; in the agent: $(grep '"VMs listed"' "$work/alpha.log" | tail -n 1 |
    grep -o ' ms=[0-9]*')"
equal 1 "$(value .disk_count vm show vm$vms)" 'the number of disks'
equal $((64 << 20)) "$(value .size vm show vm$vms)" 'the size'

step 'changes are seen'
guest_virsh define "$work/disks/vm$((vms + 1)).xml" >/dev/null
seen 'a new VM' vm_is vm$((vms + 1)) .present true
guest_virsh undefine vm$((vms + 1)) >/dev/null
seen 'that a VM is gone' vm_is vm$((vms + 1)) .present false
id=$(value .id vm show vm001)
guest_virsh domrename vm001 renamed >/dev/null
seen 'the new name' vm_is renamed .id "$id"
guest_virsh start vm002 >/dev/null
seen 'the start' vm_is vm002 .power running
for disk in b c; do
    cp "$work/empty.qcow2" "$work/disks/more-$disk.qcow2"
done
attach() { guest_virsh attach-disk "$1" "$work/disks/more-$2.qcow2" vd$2 "$3" --driver qemu --subdriver qcow2 >/dev/null; }
attach vm002 b --live
seen 'a new disk of a running VM' vm_is vm002 .disk_count 2
guest_virsh destroy vm002 >/dev/null
seen 'the end' vm_is vm002 .power off
guest_virsh dumpxml vm003 >"$work/vm003.xml"
attach vm003 c --config # libvirt 9 has no event for it
guest_virsh dumpxml vm003 >"$work/vm003-more.xml"
holdfast vm discover alpha >/dev/null
vm_is vm003 .disk_count 2 || fail "vm discover does not see a new disk"
guest_virsh define "$work/vm003.xml" >/dev/null # as virsh edit does
seen 'that a disk is gone' vm_is vm003 .disk_count 1
guest_virsh define "$work/vm003-more.xml" >/dev/null
seen 'a new disk' vm_is vm003 .disk_count 2

step "a burst: $burst VMs undefined and defined again, $rounds times"
wait_for 60 settled || fail "there is a report every second though nothing changes"
id=$(value .id vm show vm100)
before=$(reports)
begun=$(now_ms)
for _ in $(seq $rounds); do
    names 4 $((burst + 3)) | sed "s#.*#undefine &\ndefine $work/disks/&.xml#"
done | guest_virsh >/dev/null
guest_virsh undefine vm$vms >/dev/null
seen 'the last change' vm_is vm$vms .present false
wait_for 20 has $((vms - 1)) || fail "$(count) VMs are known instead of $((vms - 1))"
wait_for 60 settled || fail "there is a report every second though nothing changes"
took=$(($(now_ms) - begun))
after=$(($(reports) - before))
step "$((2 * rounds * burst + 1)) changes in $took ms: $after reports"
less "$after" $((took / 1000 + 5)) 'reports of a burst'
less "$after" $((rounds * burst / 4)) 'reports of a burst'
equal "$id" "$(value .id vm show vm100)" 'the id of a VM that was defined again'
