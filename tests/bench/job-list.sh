#!/usr/bin/env bash
# How long lists of jobs take with very many jobs: job-list.sh [JOBS]; prints one line for each kind of filter.
# A measurement by hand; not part of the tests.
. "$(dirname "$0")/../lib/test.sh"
requires jq "$python"
server_init
printf "requests-per-second = 1000000\n" >>"$work/server/holdfastd.conf" # the list is measured, not the limit
jobs=${1:-1000000}
step "filling the catalog with $jobs jobs"
"$python" "$tests/bench/job_list.py" fill "$work/server/catalog.db" "$jobs"
ls -l "$work/server/catalog.db"
server_start
step "asking"
"$python" "$tests/bench/job_list.py" ask "$api_port" "$work/server/ca.pem" "$work/server/admin.token" "$jobs"
