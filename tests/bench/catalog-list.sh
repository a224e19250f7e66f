#!/usr/bin/env bash
# How long the lists and the status take with very many VMs and recovery points: catalog-list.sh [VMS [POINTS [JOBS]]]; prints
# one line for each kind of request. A measurement by hand; not part of the tests.
. "$(dirname "$0")/../lib/test.sh"
requires jq "$python"
server_init
printf "requests-per-second = 1000000\n" >>"$work/server/holdfastd.conf" # the list is measured, not the limit
vms=${1:-10000} points=${2:-300000} jobs=${3:-300000}
step "filling the catalog with $vms VMs, $points points and $jobs jobs"
"$python" "$tests/bench/catalog_list.py" fill "$work/server/catalog.db" "$vms" "$points" "$jobs"
ls -l "$work/server/catalog.db"
step "starting"
begun=$(date +%s%3N)
server_start
echo "started in $(($(date +%s%3N) - begun)) ms; the store has none of the points"
"$python" "$tests/bench/catalog_list.py" mend "$work/server/catalog.db" # as if it had them
step "asking"
"$python" "$tests/bench/catalog_list.py" ask "$api_port" "$work/server/ca.pem" "$work/server/admin.token" "$vms" "$points"
