#!/usr/bin/env bash
# GET /v1/events: what happens to jobs and hosts, as it happens; it goes on where it was; and nobody waits for who reads it.
. "$(dirname "$0")/../lib/test.sh"
requires curl jq "$python"
server_begin
agent_begin alpha
make_image "$work/a.raw" 64 60
add_image alpha a "$work/a.raw"
url=https://127.0.0.1:$api_port
auth="Authorization: Bearer $(cat "$work/server/admin.token")"
ask() { curl -sN --max-time 60 --cacert "$work/server/ca.pem" -H "$auth" "$@"; }
stream() { exec curl -sN --max-time 200 --cacert "$work/server/ca.pem" -H "$auth" "$@"; }
# watch NAME [OPTION...]: the stream goes to $work/NAME.events, and has begun.
watch() {
    local name=$1
    shift
    stream "$@" >"$work/$name.events" &
    printf '%s\n' $! >"$work/$name.watch"
    at_end "kill $! 2>/dev/null || true"
    wait_for 20 grep -q '^retry' "$work/$name.events" || fail "the stream $name does not begin"
}
unwatch() { kill "$(cat "$work/$1.watch")" && { wait "$(cat "$work/$1.watch")" || true; } 2>/dev/null; }
states() { sed -n 's/^data: //p' "$work/$1.events" | jq -r 'select(.type) | .state' | uniq | paste -sd ' '; }
has_state() { [[ " $(states "$1") " == *" $2 "* ]]; }

step "a job from its beginning to its end, and a host that goes and comes"
watch all "$url/v1/events"
holdfast host limit alpha 1M >/dev/null
begin_backup a
watch one "$url/v1/events?job=$job"
holdfast host limit alpha 16M >/dev/null
expect 5 holdfast job show 11111111
equal 404 "$(ask -o /dev/null -w '%{http_code}' "$url/v1/events?job=11111111")" "HTTP status for no job"
equal 400 "$(ask -o /dev/null -w '%{http_code}' -H 'Last-Event-ID: x' "$url/v1/events")" "HTTP status for no number"
holdfast job watch "$job" --json >"$work/watched" 2>&1 || fail "job watch failed"
jq -e '.state == "completed" and (.log | length > 0)' "$work/watched" >/dev/null || fail "$(cat "$work/watched")"
for name in all one; do
    wait_for 20 has_state "$name" completed || fail "$name: $(states "$name")"
done
equal "queued running completed" "$(states all)" "states of the job"
sed -n 's/^data: //p' "$work/one.events" | jq -s -e "all(.id == \"$job\") and any(.progress.done_bytes > 0)" >/dev/null ||
    fail "the job's stream has something else, or no progress"
stop alpha
wait_for 20 grep -q '"state":"unreachable"' "$work/all.events" || fail "no event of the host"
agent_start alpha
wait_for 20 grep -q '"state":"connected"' "$work/all.events" || fail "no event of the host"
wait_for 20 grep -q '^:' "$work/one.events" || fail "no heartbeat"

step "it goes on where it was"
unwatch all
last=$(awk '$1 == "id:" && ++count == 3 {print $2}' "$work/all.events")
watch again -H "Last-Event-ID: $last" "$url/v1/events"
wanted=$(grep '^id: ' "$work/all.events" | tail -n +4 | paste -sd ' ')
has_all() { [[ "$(grep '^id: ' "$work/again.events" | paste -sd ' ')" == "$wanted"* ]]; }
wait_for 20 has_all || fail "not the events behind $last: $(grep '^id: ' "$work/again.events" | paste -sd ' '), wanted $wanted"
! grep -q '^event: reset' "$work/again.events" || fail "something is missed that the ring has"
watch gone -H "Last-Event-ID: 5" "$url/v1/events"
wait_for 20 grep -q '^event: reset' "$work/gone.events" || fail "nobody says that events are missed"
unwatch again
unwatch gone

step "without events, by asking"
cat >"$work/many.py" <<'P'
import socket, ssl, sys, time
port, ca, token = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
streams = []
for _ in range(70):
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))), server_hostname="127.0.0.1")
    stream.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    streams.append(stream)
    print(len(streams), stream.recv(16).decode(), flush=True)
time.sleep(600)
P
start many "$python" "$work/many.py" "$api_port" "$work/server/ca.pem" "$(cat "$work/server/admin.token")"
wait_for 30 grep -q '^70 .*429' "$work/many.log" || fail "there is no limit of streams"
full() { [ "$(ask -m 2 -o /dev/null -w '%{http_code}' "$url/v1/events")" = 429 ]; }
wait_for 20 full || fail "the limit holds no more"
scribble "$work/a.raw" 1024 4096
expect 0 holdfast backup a --wait
said completed
kill_hard many
has_room() { ! full; }
wait_for 20 has_room || fail "the places of streams that ended are not free"

step "who does not read holds up nobody"
"$python" - "$api_port" "$work/server/ca.pem" "$(cat "$work/server/admin.token")" <<'P' || fail "see above"
import http.client, json, socket, ssl, subprocess, sys
port, ca, token = sys.argv[1:]
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
sock.connect(("127.0.0.1", int(port)))
stream = ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname="127.0.0.1")
stream.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
own = stream.getsockname()[1]
connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=ssl.create_default_context(cafile=ca))


def ask(path, body):
    connection.request("POST", path, json.dumps(body), {"Authorization": "Bearer " + token})
    answer = connection.getresponse()
    reply = json.loads(answer.read())
    assert answer.status == 202, reply
    return reply


for turn in range(2000):  # each makes events that are not read
    job = ask("/v1/backups", {"vm": "alpha/a", "at": "2100-01-01"})["items"][0]["id"]
    ask(f"/v1/jobs/{job}/cancel", {})
    if turn % 20 == 19:
        there = subprocess.run(["ss", "-Htn", "state", "established", f"sport = :{port} and dport = :{own}"],
                               capture_output=True, text=True, check=True).stdout
        if not there:
            sys.exit(0)
sys.exit("a client that does not read is kept")
P
expect 0 holdfast status
