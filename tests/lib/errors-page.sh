#!/usr/bin/env bash
# Writes docs/errors.md from the catalogue of errors, as `holdfast help` has it: errors-page.sh HOLDFAST
set -euo pipefail
cat <<'X'
# Errors

What the programs say when something fails: a stable code, what it means, what to do. The message names the object; the
cause is below it. `holdfast help CODE` shows the same. (This page is made by `tests/lib/errors-page.sh build/bin/holdfast`.)

| code | what it says | what to do | exit status |
| --- | --- | --- | --- |
X
"$1" help codes --json | jq -r '.items[] | "| \(.code) | \(.message) | \(.action) | \(.exit_status) |"'
