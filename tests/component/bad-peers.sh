#!/usr/bin/env bash
# Peers that speak nonsense cost the server nothing: not its life, and not the service of others.
. "$(dirname "$0")/../lib/test.sh"
requires openssl curl timeout
server_begin
agent_begin alpha

raw() { (exec 3<>"/dev/tcp/127.0.0.1/$1" && cat >&3 && timeout 2 cat <&3 >/dev/null) 2>/dev/null || true; }
api() {
    curl -s -o "$work/out" -w '%{http_code}' --max-time 60 --cacert "$work/server/ca.pem" \
        -H "Authorization: Bearer $(cat "$work/server/admin.token")" "$@" || true
}
url=https://127.0.0.1:$api_port

step "bytes that are no TLS"
for port in "$agent_port" "$api_port"; do
    head -c 100000 /dev/urandom | raw "$port" || true # the server may hang up before it is all written
    printf 'GET / HTTP/1.0\r\n\r\n' | raw "$port"
    printf '' | raw "$port"
done

step "TLS without the right protocol, and frames of nonsense by one who has a certificate"
head -c 100000 /dev/urandom | timeout 5 openssl s_client -quiet -connect "127.0.0.1:$agent_port" >/dev/null 2>&1 || true
for alpn in holdfast/1 http/1.1; do
    for content in 'head -c 65536 /dev/urandom' 'head -c 65536 /dev/zero' 'yes' 'printf \377\377\377\377\377\377\377\377'; do
        timeout 2 sh -c "$content" | timeout 5 openssl s_client -quiet -tls1_3 -alpn "$alpn" \
            -cert "$work/alpha/agent.pem" -key "$work/alpha/agent.key" -CAfile "$work/alpha/ca.pem" \
            -connect "127.0.0.1:$agent_port" >/dev/null 2>&1 || true
    done
done

step "requests that are no requests"
head -c 20000000 /dev/zero >"$work/large"
# curl asks before it sends that much, and is told no
equal 413 "$(api --expect100-timeout 60 --data-binary "@$work/large" "$url/v1/backups")" "HTTP status of a request of 20 MB"
status=$(api -H 'Expect:' --data-binary "@$work/large" "$url/v1/backups") # or sends it, whatever is said
case $status in
4* | 000) ;;
*) fail "a request of 20 MB is not refused: $status" ;;
esac
equal 400 "$(api -d '{"vm": ' "$url/v1/backups")" "HTTP status of JSON that ends early"
equal 400 "$(api -d '[1,2,3]' "$url/v1/backups")" "HTTP status of a list instead of an object"
equal 400 "$(api -d '{"vm": 7}' "$url/v1/backups")" "HTTP status of a number for a name"
equal 400 "$(api -d '{"wm": "x"}' "$url/v1/backups")" "HTTP status of an unknown field"
equal 404 "$(api "$url/v1/../../etc/passwd" --path-as-is)" "HTTP status of a path outside"
equal 404 "$(api "$url/v2/status")" "HTTP status of an unknown path"
{ printf 'X-Long: ' && head -c 200000 /dev/zero | tr '\0' x; } >"$work/header" # too long for a command line
# the server hangs up without reading the rest: its answer gets through unless the reset overtakes it (000)
status=$(api -H "@$work/header" "$url/v1/status")
case $status in
4* | 000) ;;
*) fail "a header of 200 kB is not refused: $status" ;;
esac
equal 200 "$(api "$url/v1/status")" "HTTP status of a request after that"

step "two hundred connections that say nothing"
idle=()
for _ in $(seq 200); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$agent_port"
    idle+=("$fd")
done
expect 0 holdfast status
for fd in "${idle[@]}"; do exec {fd}>&-; done

step "the server serves on"
host_is alpha connected || fail "the agent has lost its server"
make_image "$work/a.raw" 16 4
add_image alpha a "$work/a.raw"
backup a
same_disk "$point" disk0 "$work/a.raw"
