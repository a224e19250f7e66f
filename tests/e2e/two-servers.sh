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

for round in 1 2 3; do
    guest_run web1 "head -c 2M /dev/urandom >/data/vdb/round$round; sync"
    holdfast backup web1 --wait
    [ $round = 1 ] || expect_mode incremental
    guest_run web1 "head -c 1M /dev/urandom >/data/vdb/between$round; sync"
    on_second holdfast backup web1 --wait
    [ $round = 1 ] || on_second expect_mode incremental
done
expect_checkpoints web1 4

# while one reads the other is refused, and tries again by itself: after ten seconds, and after twenty more
guest_run web1 'head -c 100M /dev/urandom >/data/vdb/large; sync'
log_of_last() { value '.log[].message' job show "$(last_job)"; }
begin_backup web1 --bandwidth 10M
is_read() { [ "$(job_field .progress.done_bytes)" -gt $((16 * 1048576)) ]; }
wait_for 60 is_read || fail "the backup does not begin"
on_second holdfast backup web1 --wait || fail "the second server's backup failed: $(on_second holdfast job list --limit 1)"
job=$(last_job)
wait_job completed
on_second log_of_last | grep 'Another tool.s backup of web1 is running' >/dev/null || fail "the second server's backup was not refused"

shut_down web1
same() { # same: the newest point of this server has what the disk has
    holdfast backup web1 --wait
    expect_disk "$(newest_point web1)" vdb "$work/disks/web1-data.qcow2"
}
same
on_second same
