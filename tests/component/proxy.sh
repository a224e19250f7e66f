#!/usr/bin/env bash
# An agent whose only way to the server is an HTTP proxy (tinyproxy, with and without password): it enrols, backs up and
# restores through it, says what the proxy wants, and finds back when the proxy was away.
. "$(dirname "$0")/../lib/test.sh"
requires tinyproxy ip
server_begin

space=holdfast-$$
ip netns add "$space"
at_end "ip netns delete $space"
ip link add "hf$$" type veth peer name "hp$$" netns "$space"
subnet=10.$((RANDOM % 200 + 20)).$((RANDOM % 250))
ip address add "$subnet.1/24" dev "hf$$"
ip link set "hf$$" up
ip -n "$space" address add "$subnet.2/24" dev "hp$$"
ip -n "$space" link set "hp$$" up
ip -n "$space" link set lo up
# what test.sh starts on a host is in that host's network, too: there the server's address is nobody's
on_host() {
    # shellcheck disable=SC2016 # expanded by that shell
    exec ip netns exec "$space" unshare --uts -- sh -c 'hostname "$0" && exec "$@"' "$@"
}

proxy_port=$(pick_port)
proxy_start() { # proxy_start [SETTING...]
    printf '%s\n' "Port $proxy_port" "Listen $subnet.1" "Timeout 600" "LogFile \"$work/tinyproxy.log\"" "LogLevel Connect" \
        "ConnectPort $agent_port" "$@" >"$work/tinyproxy.conf"
    start proxy tinyproxy -d -c "$work/tinyproxy.conf"
    wait_for 10 bash -c "</dev/tcp/$subnet.1/$proxy_port" || fail "the proxy does not start"
}
connects() { grep -c "CONNECT 127.0.0.1:$agent_port" "$work/tinyproxy.log"; }

step 'no way without it'
expect_error 3 SERVER_UNREACHABLE 127.0.0.1 enrol alpha "$(value .token host token)"

step 'without password: enrolled, backed up and restored'
proxy_start
token=$(value .token host token)
on_host alpha "$HOLDFAST_BIN/holdfast-agent" enrol "127.0.0.1:$agent_port" --token "$token" --data "$work/alpha" \
    --proxy "http://$subnet.1:$proxy_port" >>"$work/enrol.log" &
wait $! || fail "not enrolled through the proxy"
agent_start alpha
make_image "$work/disk.raw" 64 24
add_image alpha image "$work/disk.raw"
before=$(connects)
backup image
[ "$(connects)" -gt "$before" ] || fail "the data did not take the proxy"
same_disk "$point" disk0 "$work/disk.raw"
mkdir "$work/restored"
holdfast restore vm "$point" --to-host alpha --name copy --dir "$work/restored" --wait
same_file "$work/disk.raw" "$work/restored/copy-disk0.raw"

step 'the proxy goes away in a backup, and comes back'
scribble "$work/disk.raw" 0 16384
begin_backup image
stop proxy
wait_for 30 host_is alpha unreachable || fail "the host is still connected"
proxy_start
wait_for 60 host_is alpha connected || fail "the agent does not come back"
wait_job completed
same_disk "$(newest_point image)" disk0 "$work/disk.raw"

step 'the proxy asks for a password'
stop alpha
stop proxy
proxy_start 'BasicAuth keeper correct-horse'
: >"$work/alpha.log"
start alpha on_host alpha "$HOLDFAST_BIN/holdfast-agent" run --data "$work/alpha"
wait_for 30 grep -q 'asks for authentication (407)' "$work/alpha.log" || fail "it does not say what the proxy wants"
stop alpha
printf 'proxy-user = keeper\nproxy-password = wrong-horse\n' >>"$work/alpha/agent.conf"
: >"$work/alpha.log"
start alpha on_host alpha "$HOLDFAST_BIN/holdfast-agent" run --data "$work/alpha"
wait_for 30 grep -qE '\((401|407)\)|status 40[17]' "$work/alpha.log" || fail "it does not say that the password is refused"
stop alpha
sed -i 's/wrong-horse/correct-horse/' "$work/alpha/agent.conf"
agent_start alpha
scribble "$work/disk.raw" 30000 4096
backup image
same_disk "$point" disk0 "$work/disk.raw"
! grep -r correct-horse "$work"/*.log || fail "the proxy's password is in a log"
