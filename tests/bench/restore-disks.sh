#!/usr/bin/env bash
# How long a restore of a datasource of several disks takes, and what memory its agent and its server have at most:
#
#   HOLDFAST_BIN=build-release/bin tests/bench/restore-disks.sh [DISKS [MIB [ROUNDS [OTHER_BIN]]]]
#
# With OTHER_BIN each round restores once with either programs, from the same store.
. "$(dirname "$0")/../lib/test.sh"
disks=${1:-4} mib=${2:-512} rounds=${3:-5}
bins=("$HOLDFAST_BIN" ${4:+"$4"})

# A disk as they are: text that packs well, a part that does not, a part that is empty.
make_disk() {
    truncate -s "${mib}M" "$1"
    { seq "$2" 9 1000000000000 || true; } 2>/dev/null | head -c $((mib / 2))M | dd of="$1" bs=1M conv=notrunc status=none iflag=fullblock
    head -c $((mib / 4))M /dev/urandom | dd of="$1" bs=1M seek=$((mib / 2)) conv=notrunc status=none iflag=fullblock
}

peak_mib() { echo $(($(awk '/^VmHWM/ {print $2}' "/proc/$(pid_of "$1")/status") / 1024)); }

restore_once() {
    local started finished
    mkdir "$work/out"
    sync
    job=$(value .id restore vm "$point" --to-host alpha --name copy --dir "$work/out")
    wait_job completed 600
    started=$(date -d "$(job_field .started)" +%s%3N)
    finished=$(date -d "$(job_field .finished)" +%s%3N)
    for i in $(seq 0 $((disks - 1))); do same_file "$work/d$i.raw" "$work/out/copy-disk$i.raw"; done
    rm -r "$work/out"
    printf '%s: %s ms, agent %s MiB, server %s MiB\n' "$1" $((finished - started)) "$(peak_mib alpha)" "$(peak_mib server)"
}

server_begin
agent_begin alpha
paths=()
for i in $(seq 0 $((disks - 1))); do
    make_disk "$work/d$i.raw" "$((i + 1))"
    paths+=("$work/d$i.raw")
done
add_image alpha many "${paths[@]}"
backup many
for ((round = 1; round <= rounds; round++)); do
    for HOLDFAST_BIN in "${bins[@]}"; do
        stop alpha
        stop server
        server_start
        agent_start alpha
        restore_once "$HOLDFAST_BIN"
    done
done
