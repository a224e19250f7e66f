#!/usr/bin/env bash
# The API is what docs/openapi.yaml says, and docs/errors.md is what the catalogue says.
. "$(dirname "$0")/../lib/test.sh"
requires "$python"
server_begin_at_noon # a group has an hourly policy
agent_begin alpha
make_image "$work/a.raw" 16 4
add_image alpha a "$work/a.raw"
backup a
"$python" "$tests/lib/check_api.py" "$top" "https://127.0.0.1:$api_port" "$work/server/ca.pem" \
    "$(cat "$work/server/admin.token")" alpha/a "$point" || fail "the API is not as documented"

"$tests/lib/errors-page.sh" "$HOLDFAST_BIN/holdfast" >"$work/errors.md"
cmp "$work/errors.md" "$top/docs/errors.md" || fail "docs/errors.md is out of date; see its first lines"
