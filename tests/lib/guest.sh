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
    at_end 'libvirt_stop "$work/libvirt"'
    libvirt_start "$work/libvirt" alpha
    guest_create "$name" "$guest_files" "$work/disks"
    server_begin
    enrol alpha "$(value .token host token)" >>"$work/enrol.log"
    printf '%s\n' "${agent_settings:-}" >"$work/alpha/agent.conf"
    agent_start alpha --libvirt-uri "$libvirt_uri" "$@"
    wait_for 60 holdfast vm show "$name" || fail "the agent did not report $name"
}

guest_state() { guest_virsh domstate "$1" | head -n 1; }
# Nothing frozen, no backup job, no scratch, no NBD socket.
expect_clean_host() {
    [ "$(guest_virsh qemu-agent-command "$1" '{"execute":"guest-fsfreeze-status"}' | jq -r .return)" = thawed ] ||
        fail "the guest is frozen"
    guest_virsh domjobinfo "$1" 2>/dev/null | grep -q 'Operation: *Backup' && fail "a backup job was left behind"
    [ -z "$(find "$work/alpha/scratch" "$work/alpha/jobs" -type f 2>/dev/null)" ] ||
        fail "files were left behind: $(find "$work/alpha/scratch" "$work/alpha/jobs" -type f)"
    [ "$(guest_virsh checkpoint-list "$1" --name | grep -c '^holdfast-')" -le 2 ] || fail "checkpoints pile up"
}
