#!/usr/bin/env bash
# Names of any bytes, from operators and from hosts: what is told stays text, and nothing goes missing from a list.
. "$(dirname "$0")/../lib/test.sh"
requires curl
server_begin
agent_begin alpha
# shellcheck disable=SC2016 # expanded by that shell
on_odd_host() { unshare --uts -- sh -c 'printf "odd\377" >/proc/sys/kernel/hostname && exec "$@"' sh "$@"; }
url=https://127.0.0.1:$api_port
api() {
    curl -s -o "$work/out" -w '%{http_code}' --cacert "$work/server/ca.pem" \
        -H "Authorization: Bearer $(cat "$work/server/admin.token")" "$@"
}

step 'requests for what is called by no text'
for name in '%FF' 'a%C3' '%ED%A0%80' '%C0%AF'; do
    equal 404 "$(api "$url/v1/vms/$name")" "HTTP status of a VM called $name"
    equal VM_NOT_FOUND "$(jq -r .code "$work/out")" "the code of a VM called $name"
    equal 404 "$(api -X POST "$url/v1/vms/$name/seed" -d '{"point":"none"}')" "HTTP status of a seed for $name"
done
expect_error 5 VM_NOT_FOUND 'There is no VM ?' holdfast vm show $'\xff' --json

step 'a text that is cut within a character'
long=$(printf 'x%.0s' {1..39})ü
equal 400 "$(api "$url/v1/jobs?state=$(printf 'x%.0s' {1..39})%C3%BC")" 'HTTP status of a state that is cut'
equal 400 "$(api "$url/v1/tokens" -d "{\"name\": \"a\", \"role\": \"$long\"}")" 'HTTP status of a role that is cut'

step 'a datasource that no text can name is refused, and the others stay'
head -c 65536 /dev/urandom >"$work/plain.raw"
add_image alpha plain "$work/plain.raw"
cp "$work/plain.raw" "$work/"$'odd\xff.raw'
add_by_agent() { "$HOLDFAST_BIN/holdfast-agent" "$@" --data "$work/alpha"; }
expect_error 2 REQUEST_INVALID UTF-8 add_by_agent add-image $'odd\xff' "$work/plain.raw"
expect_error 2 REQUEST_INVALID UTF-8 add_by_agent add-image odd "$work/"$'odd\xff.raw'
mkdir "$work/"$'tree\xff'
expect_error 2 REQUEST_INVALID UTF-8 add_by_agent add-files odd "$work/"$'tree\xff'
holdfast vm discover alpha >/dev/null
equal plain "$(value '.items[].name' vm list)" 'the list of VMs'

step 'a host that is called by no text is in the list, and so are the others'
token=$(value .token host token)
expect 0 on_odd_host "$HOLDFAST_BIN/holdfast-agent" enrol "127.0.0.1:$agent_port" --token "$token" --data "$work/odd"
equal 'alpha odd?' "$(value '[.items[].name] | sort | join(" ")' host list)" 'the list of hosts'
