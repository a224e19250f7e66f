# A libvirt of one's own and guests on it. To be sourced after deploy/lib.sh.
#
# The daemon runs in mount and UTS namespaces of its own, with its own host UUID: it touches nothing of the machine's
# libvirt, and several can run side by side. Everything of it lies below one directory.

# libvirt_start DIR [HOSTNAME]: sets libvirt_uri. Lines in $libvirt_qemu_settings go into its qemu.conf.
libvirt_start() {
    local dir=$1 host=${2:-host} folder
    mkdir -p "$dir"/{run,etc/qemu,lib,log,cache,disks}
    # the socket's path is short, whatever DIR is: sun_path has 108 bytes
    if [ -s "$dir/socket-folder" ]; then # again: agents know the socket
        folder=$(cat "$dir/socket-folder")
        mkdir -p "$folder"
    else
        folder=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-libvirt.XXXXXX")
        printf '%s\n' "$folder" >"$dir/socket-folder"
    fi
    cat >"$dir/etc/qemu.conf" <<X
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
stdio_handler = "file"
namespaces = [ ]
cgroup_controllers = [ ]
swtpm_user = "root"
swtpm_group = "root"
${libvirt_qemu_settings:-}
X
    [ -s "$dir/uuid" ] || cat /proc/sys/kernel/random/uuid >"$dir/uuid"
    printf 'host_uuid = "%s"\nauth_unix_rw = "none"\nlog_outputs = "3:file:%s"\n' "$(cat "$dir/uuid")" \
        "$dir/log/libvirtd.log" >"$dir/etc/libvirtd.conf"
    setsid unshare -m -u --propagation private -- bash -c "
        hostname '$host'
        mkdir -p /run/libvirt /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
        mount --bind '$folder' /run/libvirt
        mount --bind '$dir/etc' /etc/libvirt
        mount --bind '$dir/lib' /var/lib/libvirt
        mount --bind '$dir/log' /var/log/libvirt
        mount --bind '$dir/cache' /var/cache/libvirt
        [ ! -d /var/log/swtpm ] || mount --bind '$dir/log' /var/log/swtpm
        exec libvirtd -f /etc/libvirt/libvirtd.conf -p /run/libvirt/libvirtd.pid" \
        >"$dir/log/libvirtd.out" 2>&1 </dev/null &
    note_process $! "$dir/libvirtd.pid"
    libvirt_uri="qemu+unix:///system?socket=$folder/libvirt-sock"
    wait_for 60 virsh -c "$libvirt_uri" version || {
        tail -n 5 "$dir/log/libvirtd.out" "$dir/log/libvirtd.log" >&2
        die "libvirt did not start"
    }
}

# libvirt_attach DIR: sets libvirt_uri of a daemon that runs.
libvirt_attach() { libvirt_uri="qemu+unix:///system?socket=$(cat "$1/socket-folder")/libvirt-sock"; }

# libvirt_stop DIR: its domains, then the daemon.
libvirt_stop() {
    local dir=$1 domain
    [ -s "$dir/libvirtd.pid" ] || return 0
    libvirt_attach "$dir"
    for domain in $(timeout 20 virsh -c "$libvirt_uri" list --name 2>/dev/null); do
        timeout 20 virsh -c "$libvirt_uri" destroy "$domain" >/dev/null 2>&1 || true
    done
    end_process "$dir/libvirtd.pid"
    rm -rf "$(cat "$dir/socket-folder")"
}

guest_virsh() { virsh -q -c "$libvirt_uri" "$@"; }

# guest_create NAME GUEST DISKS: fresh disks, defined and started. The function guest_edit_domain, if there is one, is
# given the file with the domain's XML before.
guest_create() {
    local name=$1 guest=$2 disks=$3 disk
    mkdir -p "$disks"
    for disk in root data; do
        cp --sparse=always "$guest/$disk.qcow2" "$disks/$name-$disk.qcow2"
    done
    sed -e "s#@NAME@#$name#g" -e "s#@GUEST@#$guest#g" -e "s#@DISKS@#$disks#g" "$top/deploy/guest/domain.xml.in" \
        >"$disks/$name.xml"
    ! declare -F guest_edit_domain >/dev/null || guest_edit_domain "$disks/$name.xml"
    guest_virsh define "$disks/$name.xml" >/dev/null
    guest_virsh start "$name" >/dev/null
    guest_wait "$name"
}

guest_answers() { guest_virsh qemu-agent-command "$1" '{"execute":"guest-ping"}'; }

guest_wait() {
    wait_for 90 guest_answers "$1" && return 0
    guest_virsh domstate "$1" --reason >&2 || true
    guest_answers "$1" >&2 || true
    die "the guest $1 did not come up"
}

# guest_ask NAME COMMAND: the guest agent's answer. libvirt sends a command only after the agent has said within five
# seconds that it listens, and has to connect to it first: so an agent that is refused before the command's own time is
# over never had the command, and is asked again.
guest_ask() {
    local reply asked limit=$(($(date +%s) + 60 * ${patience:-1}))
    while :; do
        asked=$(date +%s)
        reply=$(guest_virsh qemu-agent-command "$1" --timeout 60 "$2" 2>&1) && break
        if [[ $reply != *'not available for now'* && $reply != *'not connected'* ]] ||
            [ "$(date +%s)" -ge $((asked + 60)) ] || [ "$(date +%s)" -ge "$limit" ]; then
            printf '%s\n' "$reply" >&2
            return 1
        fi
        sleep 0.1
    done
    printf '%s\n' "$reply"
}

# guest_run NAME COMMAND: run it in the guest's shell, print its output, return its status.
guest_run() {
    local name=$1 reply pid status
    reply=$(guest_ask "$name" "$(jq -nc --arg c "$2" \
        '{execute:"guest-exec",arguments:{path:"/bin/bash",arg:["-c",$c],"capture-output":true}}')") || return 1
    pid=$(jq .return.pid <<<"$reply")
    local limit=$(($(date +%s) + 120 * ${patience:-1}))
    while :; do # a guest that is busy may miss a question
        status=$(guest_virsh qemu-agent-command "$name" \
            "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":$pid}}") || status='{}'
        [ "$(jq .return.exited <<<"$status")" = true ] && break
        [ "$(date +%s)" -lt "$limit" ] || return 1
        sleep 0.1
    done
    jq -r '.return["out-data"] // ""' <<<"$status" | base64 -d
    jq -r '.return["err-data"] // ""' <<<"$status" | base64 -d >&2
    return "$(jq .return.exitcode <<<"$status")"
}
