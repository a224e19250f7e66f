# A booted guest on a libvirt of the test's own, and the agent that protects it. To be sourced after world.sh.
. "$top/deploy/guest/lib.sh"
requires virsh libvirtd qemu-img jq

guest_files=${HOLDFAST_GUEST:-$top/build/guest}

world_cleanup() { libvirt_stop "$world/libvirt"; }

# world_with_guest NAME [AGENT OPTION...]
world_with_guest() {
    local name=$1
    shift
    [ -e "$guest_files/complete" ] || "$top/deploy/guest/build" "$guest_files"
    libvirt_start "$world/libvirt" testhost
    guest_create "$name" "$guest_files" "$world/disks"
    server_init
    server_start
    agent_enrol
    printf '%s\n' "${agent_settings:-}" >"$world/agent/agent.conf"
    agent_start --libvirt-uri "$libvirt_uri" "$@"
    wait_for 60 vm_known "$name" || fail "the agent did not report $name"
}

guest_state() { guest_virsh domstate "$1" | head -n 1; }
# Nothing frozen, no backup job, no scratch, no NBD socket.
expect_clean_host() {
    [ "$(guest_virsh qemu-agent-command "$1" '{"execute":"guest-fsfreeze-status"}' | jq -r .return)" = thawed ] ||
        fail "the guest is frozen"
    guest_virsh domjobinfo "$1" 2>/dev/null | grep -q 'Operation: *Backup' && fail "a backup job was left behind"
    [ -z "$(find "$world/agent/scratch" "$world/agent/jobs" -type f 2>/dev/null)" ] ||
        fail "files were left behind: $(find "$world/agent/scratch" "$world/agent/jobs" -type f)"
    [ "$(guest_virsh checkpoint-list "$1" --name | grep -c .)" -le 2 ] || fail "checkpoints pile up"
}
