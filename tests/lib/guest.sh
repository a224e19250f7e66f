# A booted guest on a libvirt of the test's own, and the agent that protects it. To be sourced after test.sh.
. "$top/deploy/guest/lib.sh"
requires virsh libvirtd qemu-img jq

guest_files=${HOLDFAST_GUEST:-$top/build/guest}

# guest_begin NAME [AGENT OPTION...]: a libvirt, a booted guest, a server, and the agent of host alpha. Lines in
# $agent_settings go into the agent's configuration.
guest_begin() {
    local name=$1
    shift
    [ -e "$guest_files/complete" ] || "$top/deploy/guest/build" "$guest_files"
    at_end 'libvirt_stop "$work/libvirt"; libvirt_logs "$work/libvirt"'
    libvirt_start "$work/libvirt" alpha
    guest_create "$name" "$guest_files" "$work/disks"
    server_begin
    enrol alpha "$(value .token host token)" >>"$work/enrol.log"
    printf '%s\n' "${agent_settings:-}" >"$work/alpha/agent.conf"
    agent_start alpha --libvirt-uri "$libvirt_uri" "$@"
    wait_for 60 holdfast vm show "$name" || fail "the agent did not report $name"
}

# libvirt_logs DIR: what libvirt, QEMU and the kernel, of programs that it ended, said goes where a test that fails
# prints it.
libvirt_logs() {
    local log
    for log in "$1"/log/libvirtd.log "$1"/log/qemu/*.log; do
        [ ! -e "$log" ] || cp "$log" "$work/$(basename "$1")-$(basename "$log")"
    done
    dmesg -T 2>/dev/null | grep -iE 'segfault|general protection|killed process' >"$work/kernel.log" || true
}

guest_state() { guest_virsh domstate "$1" | head -n 1; }
guest_is() { [ "$(guest_state "$1")" = "$2" ]; }
asked_to_end() { guest_is "$1" 'shut off' || guest_virsh shutdown "$1" --mode agent; }
guest_freeze_is() { [ "$(guest_ask "$1" '{"execute":"guest-fsfreeze-status"}' | jq -r .return)" = "$2" ]; }
shut_down() {
    wait_for 60 asked_to_end "$1" || guest_virsh shutdown "$1" --mode agent
    wait_for 60 guest_is "$1" 'shut off' || fail "the guest $1 does not shut down"
}
boot() {
    guest_virsh start "$1" >/dev/null
    guest_wait "$1"
}
# expect_mode MODE: of the last job; sets job.
expect_mode() {
    job=$(last_job)
    [ "$(job_field .mode)" = "$1" ] || fail "the job is $(job_field .mode) instead of $1: $(job_field .reason)"
}
# expect_disk POINT DISK FILE [FORMAT]: the point has what the file of a VM that writes nothing has (qcow2).
expect_disk() {
    rm -f "$work/compare.raw"
    restore_disk "$1" "$2" "$work/compare.raw" raw
    qemu-img compare -q -U -f raw -F "${4:-qcow2}" "$work/compare.raw" "$3" || fail "$2 of $1 is not $3"
    rm -f "$work/compare.raw"
}
expect_checkpoints() { # expect_checkpoints NAME MOST: of Holdfast's, whichever server made them
    [ "$(guest_virsh checkpoint-list "$1" --name | grep -c '^holdfast-')" -le "$2" ] || fail "checkpoints pile up"
}
# Nothing frozen, no backup job, no scratch, no NBD socket.
expect_clean_host() {
    guest_freeze_is "$1" thawed || fail "the guest is frozen"
    guest_virsh domjobinfo "$1" 2>/dev/null | grep 'Operation: *Backup' && fail "a backup job was left behind"
    [ -z "$(find "$work/alpha/scratch" "$work/alpha/jobs" -type f 2>/dev/null)" ] ||
        fail "files were left behind: $(find "$work/alpha/scratch" "$work/alpha/jobs" -type f)"
    expect_checkpoints "$1" 2
}
