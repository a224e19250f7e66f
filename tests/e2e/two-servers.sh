#!/usr/bin/env bash
# Two servers protect one VM, each with an agent of its own on the host: neither disturbs the other's chain.
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
guest_begin web1

# the second server, and its agent
agent_port=$(pick_port)
api_port=$(pick_port)
"$HOLDFAST_BIN/holdfastd" init --data "$work/second" --listen 127.0.0.1 --agent-port "$agent_port" \
    --api-port "$api_port" >>"$work/init.log"
start second "$HOLDFAST_BIN/holdfastd" run --data "$work/second"
on_second() { HOLDFAST_CONFIG=$work/second-login.json "$@"; }
second_login() {
    on_second holdfast login "https://127.0.0.1:$api_port" --ca "$work/second/ca.pem" \
        --token-file "$work/second/admin.token"
}
wait_for 30 second_login || fail "the second server does not answer"
enrol beta "$(on_second value .token host token)" >>"$work/enrol.log"
start beta on_host alpha "$HOLDFAST_BIN/holdfast-agent" run --data "$work/beta" --libvirt-uri "$libvirt_uri"
wait_for 60 on_second holdfast vm show web1 || fail "the second agent did not report web1"

expect_mode() { # expect_mode MODE: of the last job
    job=$(last_job)
    [ "$(job_field .mode)" = "$1" ] || fail "$(job_field .mode): $(job_field .reason)"
}
for round in 1 2 3; do
    guest_run web1 "head -c 2M /dev/urandom >/data/vdb/round$round; sync"
    holdfast backup web1 --wait
    [ $round = 1 ] || expect_mode incremental
    guest_run web1 "head -c 1M /dev/urandom >/data/vdb/between$round; sync"
    on_second holdfast backup web1 --wait
    [ $round = 1 ] || on_second expect_mode incremental
done
[ "$(guest_virsh checkpoint-list web1 --name | grep -c '^holdfast-')" -le 4 ] || fail "checkpoints pile up"

# while one reads the other is refused, and tries again by itself
guest_run web1 'head -c 300M /dev/urandom >/data/vdb/large; sync'
holdfast backup web1 >/dev/null
on_second holdfast backup web1 --wait || fail "the second server's backup failed: $(on_second holdfast job list --limit 1)"
job=$(last_job)
wait_job completed

guest_virsh shutdown web1 --mode agent >/dev/null
off() { [ "$(guest_state web1)" = 'shut off' ]; }
wait_for 60 off || fail "the guest does not shut down"
same() { # same: the newest point of this server has what the disk has
    rm -f "$work/vdb.raw"
    holdfast backup web1 --wait
    holdfast restore disk "$(newest_point web1)" vdb --to "$work/vdb.raw" --format raw
    qemu-img compare -q -f raw -F qcow2 "$work/vdb.raw" "$work/disks/web1-data.qcow2" || fail "vdb differs"
}
same
on_second same
