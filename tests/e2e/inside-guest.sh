#!/usr/bin/env bash
# The agent inside a guest protects its logical volumes from snapshots of LVM: the point is of one moment while the volume
# is written, nothing is left behind, also after the agent was killed, and a volume that was changed comes back. Snapshots
# that stay restore without the store, survive the agent, grow, and are not missed when they run full.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
requires mke2fs e2fsck busybox
[ -e "$guest_files/complete" ] || "$top/deploy/guest/build" "$guest_files"
"$top/deploy/guest/build-inside" "$guest_files"

# The disk vdb: the agent with its libraries, LVM, modules. vdc is LVM's.
make_tools() {
    local tools=$work/tools library
    mkdir -p "$work/disks" "$tools"
    cp -a "$guest_files/inside/." "$tools/"
    cp "$HOLDFAST_BIN/holdfast-agent" "$tools/bin/"
    ln -sf lvm "$tools/bin/lvextend"
    ldd "$HOLDFAST_BIN/holdfast-agent" | awk '/=> \//{print $3}' | while read -r library; do
        cp -L "$library" "$tools/lib/"
    done
    truncate -s 768M "$work/disks/tools.raw"
    mke2fs -q -t ext4 -d "$tools" "$work/disks/tools.raw"
    truncate -s 2G "$work/disks/volumes.raw"
    rm -rf "$tools"
}

# A network card that reaches nothing but the server's port on this host.
guest_edit_domain() {
    sed -i -e "s#<domain type='qemu'>#<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>#" \
        -e "s#<memory unit='MiB'>256#<memory unit='MiB'>1024#" -e "s#type='qcow2' discard='unmap'/>#type='qcow2'/>#" \
        -e "s#</devices>#<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$work/disks/volumes.raw'/>\
<target dev='vdc' bus='virtio'/></disk></devices><qemu:commandline><qemu:arg value='-netdev'/>\
<qemu:arg value='user,id=net0,restrict=on,guestfwd=tcp:10.0.2.100:$agent_port-cmd:$(command -v busybox) nc 127.0.0.1 $agent_port'/>\
<qemu:arg value='-device'/><qemu:arg value='virtio-net-pci,netdev=net0,addr=0x10'/></qemu:commandline>#" "$1"
    python3 - "$1" "$work/disks/tools.raw" <<'X'
import re, sys
text = open(sys.argv[1]).read()
data = re.compile(r"<driver name='qemu' type='qcow2'/>(\s*)<source file='[^']*-data.qcow2'/>")
open(sys.argv[1], "w").write(data.sub(r"<driver name='qemu' type='raw'/>\1<source file='%s'/>" % sys.argv[2], text))
X
}

# in_guest COMMAND: with LVM and the agent. There is no udev: LVM makes the nodes of its devices.
in_guest() { guest_run inner "export DM_DISABLE_UDEV=1 PATH=/data/vdb/bin:\$PATH LD_LIBRARY_PATH=/data/vdb/lib ASAN_OPTIONS=exitcode=99; $1"; }

guest_agent_start() {
    in_guest 'setsid holdfast-agent run >>/run/agent.log 2>&1 </dev/null & echo $! >/run/agent.pid'
    wait_for 90 host_is inner connected || { in_guest 'cat /run/agent.log' >&2; fail "the agent does not connect"; }
}
guest_agent_kill() { in_guest 'kill -9 "$(cat /run/agent.pid)"'; }
kept() { in_guest "lvs --noheadings -o lv_name @holdfast 2>/dev/null" | grep -c holdfast-kept || true; }
no_kept() { [ "$(kept)" = 0 ]; }
log_of() { value '.log[].message' job show "$(last_job)"; }
# local_restore POINT: to its volume, which is not mounted, from what stayed, with the store's containers away.
local_restore() {
    mv "$work/server/store/containers" "$work/away"
    holdfast restore vm "$1" --to-original --from-host-snapshot --wait >>"$work/restore.log"
    mv "$work/away" "$work/server/store/containers"
    log_of | grep 'nothing was read from the store' >/dev/null || fail "it was not local"
}
snapshots() { in_guest "lvs --noheadings -o lv_name @holdfast 2>/dev/null" | grep -c holdfast || true; }
has_snapshot() { [ "$(snapshots)" -gt 0 ]; }
expect_no_rest() {
    equal 0 "$(snapshots)" "number of snapshots left behind"
    equal '' "$(in_guest 'ls /var/lib/holdfast-agent/jobs 2>/dev/null')" "the journal"
}
no_rest() { [ "$(snapshots)" = 0 ] && [ -z "$(in_guest 'ls /var/lib/holdfast-agent/jobs 2>/dev/null')" ]; }
# add_volume NAME DEVICE
add_volume() {
    in_guest "holdfast-agent add-image $1 $2" >/dev/null
    holdfast vm discover inner >/dev/null
    wait_for 30 holdfast vm show "inner/$1" || fail "$1 is not discovered"
}
# whole POINT: its only disk is an ext4 file system that needs no repair and no journal; it is in $work/look.raw.
whole() {
    rm -f "$work/look.raw"
    restore_disk "$1" disk0 "$work/look.raw" raw
    e2fsck -fn "$work/look.raw" >"$work/fsck.log" 2>&1 || { cat "$work/fsck.log" >&2; fail "the file system is not whole"; }
    ! dumpe2fs -h "$work/look.raw" 2>/dev/null | grep needs_recovery >/dev/null || fail "the file system was not frozen"
}

# expect_same VOLUME: its begin, where the file system has its tables and what was written last, is that of $work/look.raw.
expect_same() {
    equal "$(head -c 48M "$work/look.raw" | md5sum)" "$(in_guest "head -c 48M /dev/vg/$1 | md5sum")" "the volume $1"
}

server_begin
libvirt_qemu_settings='seccomp_sandbox = 0' # QEMU starts what carries the connections
at_end 'libvirt_stop "$work/libvirt"; libvirt_logs "$work/libvirt"'
make_tools
libvirt_start "$work/libvirt" alpha
guest_create inner "$guest_files" "$work/disks"

step "a guest with volumes, and an agent in it"
in_guest 'for m in /data/vdb/modules/*.ko; do busybox insmod $m 2>/dev/null; done
    busybox ifconfig lo 127.0.0.1; busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
    echo "10.0.2.100 '"$(hostname)"'" >>/etc/hosts; busybox hostname inner
    mkdir -p /etc/lvm /srv/data /srv/thin
    pvcreate -q /dev/vdc && vgcreate -q vg /dev/vdc && lvcreate -q -L 200M -n data vg &&
    mke2fs -q -t ext4 /dev/vg/data && mount /dev/vg/data /srv/data && echo one >/srv/data/story' >"$work/guest.log" 2>&1 ||
    { cat "$work/guest.log"; fail "LVM does not work in the guest"; }
in_guest "holdfast-agent enrol $(hostname):$agent_port --token $(value .token host token)" >>"$work/enrol.log"
in_guest 'echo "snapshot-thick-volumes = yes" >>/var/lib/holdfast-agent/agent.conf'
guest_agent_start
add_volume data /dev/vg/data
equal /dev/vg/data "$(value '.disks[0].path' vm show data)" "path of the disk"

step "while it is written, and the snapshot stays"
holdfast policy create gold --manual --keep-latest 9 --snapshot-days 2 >/dev/null
holdfast group create stays --policy gold --vm data >/dev/null
in_guest '(while [ ! -e /run/enough ]; do for i in 1 2 3 4 5 6 7 8; do
    head -c 300000 /dev/urandom >/srv/data/$i; mv /srv/data/$i /srv/data/done-$i; done; done) >/dev/null 2>&1 &'
backup data
in_guest 'touch /run/enough'
equal filesystem "$(value .consistency rp show "$point")" "consistency"
whole "$point"
equal one "$(debugfs -R 'cat story' "$work/look.raw" 2>/dev/null)" "what the file system holds"
equal 1 "$(kept)" "number of snapshots that stay"
equal 1 "$(snapshots)" "number of all snapshots"
expect_same "holdfast-kept-$point-disk0"
first=$point

step "the agent is killed while it reads the snapshot"
in_guest 'head -c 100M /dev/urandom >/srv/data/large; echo two >/srv/data/story'
begin_backup data --bandwidth 20M
is_read() { [ "$(job_field .phases.transfer.state)" = running ]; }
wait_for 60 is_read || fail "the snapshot is not read"
guest_agent_kill
guest_agent_start
wait_job completed 180
second=$(job_field .point)
whole "$second"
equal two "$(debugfs -R 'cat story' "$work/look.raw" 2>/dev/null)" "what the file system holds"
equal 1 "$(snapshots)" "number of snapshots of a thick volume"

step "back to the volume without the store: not while it is mounted"
in_guest 'rm /srv/data/large; echo changed >/srv/data/story'
expect_code RESTORE_TARGET_IN_USE holdfast restore vm "$second" --to-original --from-host-snapshot --wait
said /srv/data || fail "the mount is not named"
in_guest 'umount /srv/data'
local_restore "$second"
expect_same data
in_guest 'mount /dev/vg/data /srv/data && grep -qx two /srv/data/story' || fail "the volume is not as it was"

step "it is given more room, and is not missed when it runs full"
room() { in_guest 'lvs --noheadings --units m --nosuffix -o lv_size @holdfast' | tr -dc '0-9\n' | sed 's/00$//' | head -n 1; }
before=$(room)
has_grown() { [ "$(room)" -gt "$before" ]; }
in_guest 'head -c $(('"$before"' * 1024 * 86 / 100))K /dev/urandom | dd of=/srv/data/large bs=1M conv=notrunc,fsync 2>/dev/null'
wait_for 60 has_grown || fail "a snapshot that is nearly full gets no more room"
in_guest 'kill -STOP "$(cat /run/agent.pid)"; head -c 120M /dev/urandom | dd of=/srv/data/large bs=1M conv=notrunc,fsync 2>/dev/null
    lvs --noheadings -o lv_attr @holdfast | grep -q "^ *s.i-I"' || fail "the snapshot did not run full"
in_guest 'umount /srv/data; kill -CONT "$(cat /run/agent.pid)"'
wait_for 60 holdfast vm discover inner || fail "the agent does not answer" # one that was silent for long connects anew
expect 0 holdfast restore vm "$second" --to-original --wait
! log_of | grep 'nothing was read from the store' >/dev/null || fail "a snapshot that ran full was read"
expect_same data
wait_for 60 no_kept || fail "a snapshot that ran full stays"
expect_no_rest
in_guest 'mount /dev/vg/data /srv/data && grep -qx two /srv/data/story' || fail "the volume is not as it was"
expect_code SNAPSHOT_GONE holdfast restore vm "$first" --to-original --from-host-snapshot --wait
holdfast group remove stays data >/dev/null

step "a snapshot that somebody holds stays, and goes with the next backup"
begin_backup data --bandwidth 10M
wait_for 60 has_snapshot || fail "there is no snapshot"
in_guest 'sleep 600 </dev/vg/holdfast-* >/dev/null 2>&1 & echo $! >/run/holder.pid'
wait_job completed 180
equal 1 "$(snapshots)" "number of snapshots while one is held"
in_guest 'kill "$(cat /run/holder.pid)"'
backup data
expect_no_rest

step "a snapshot that runs full fails the backup, and the guest goes on"
in_guest 'free=$(vgs --noheadings --units k --nosuffix -o vg_free vg | cut -d. -f1)
    lvcreate -q -L $((free - 12288))k -n rest vg; rm -f /srv/data/large; sync; head -c 100M /dev/urandom >/srv/data/large'
begin_backup data --bandwidth 10M
wait_for 60 has_snapshot || fail "there is no snapshot"
in_guest 'head -c 60M /dev/urandom | dd of=/srv/data/large bs=1M conv=notrunc,fsync 2>/dev/null'
full() { value '.log[].code' job show "$job" | grep SCRATCH_SPACE_LOW >/dev/null; }
wait_for 60 full || { holdfast job show "$job" >&2; fail "nobody noticed that the snapshot is full"; }
wait_job failed
in_guest 'echo three >/srv/data/story && sync && grep -qx three /srv/data/story' || fail "the guest's volume does not work"
wait_for 20 no_rest || expect_no_rest

step "without any room there is a warning, and a point"
in_guest 'lvremove -q -y vg/rest; free=$(vgs --noheadings --units k --nosuffix -o vg_free vg | cut -d. -f1)
    lvcreate -q -L ${free}k -n rest vg'
begin_backup data
wait_job completed-with-warnings 180
equal crash "$(value .consistency rp show "$(job_field .point)")" "consistency"
value '.log[].code' job show "$job" | grep SCRATCH_SPACE_LOW >/dev/null || fail "the reason is not told"
in_guest 'lvremove -q -y vg/rest'

step "a thin volume"
in_guest 'lvcreate -q -L 200M --thinpool pool vg && lvcreate -q -V 100M -n thin --thinpool pool vg &&
    mke2fs -q -t ext4 /dev/vg/thin && mount /dev/vg/thin /srv/thin && echo thin >/srv/thin/story' >"$work/guest.log" 2>&1 ||
    { cat "$work/guest.log"; fail "no thin volume"; }
add_volume thin /dev/vg/thin
holdfast group add stays thin >/dev/null
backup thin
first=$point
equal filesystem "$(value .consistency rp show "$point")" "consistency of the thin volume"
whole "$point"
equal thin "$(debugfs -R 'cat story' "$work/look.raw" 2>/dev/null)" "what the thin file system holds"
in_guest 'echo more >/srv/thin/story; sync'
backup thin
equal 2 "$(snapshots)" "number of snapshots of a thin volume"

step "an agent that starts again finds them; one whose time is over goes"
guest_agent_kill
in_guest 'sed -i "s/\"until_ms\": *[0-9]*/\"until_ms\":1/" /var/lib/holdfast-agent/snapshots/jobs/'"$point.json"
guest_agent_start
one_left() { [ "$(snapshots)" = 1 ]; }
wait_for 60 one_left || fail "a snapshot stays longer than it should"
in_guest 'umount /srv/thin'
local_restore "$first"
in_guest 'mount /dev/vg/thin /srv/thin && grep -qx thin /srv/thin/story' || fail "the thin volume is not as it was"
holdfast group remove stays thin >/dev/null
holdfast vm discover inner >/dev/null
wait_for 60 no_kept || fail "a snapshot of an unprotected volume stays"
expect_no_rest
equal '' "$(in_guest 'ls /var/lib/holdfast-agent/snapshots/jobs')" "the records"

in_guest 'kill "$(cat /run/agent.pid)"'
wait_for 30 in_guest '[ ! -e /proc/$(cat /run/agent.pid) ]' || fail "the agent does not end"
in_guest 'grep -A 20 "Sanitizer\|runtime error" /run/agent.log' && fail "see above"
true
