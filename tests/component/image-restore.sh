#!/usr/bin/env bash
# An image datasource is restored as a whole: beside the original, and over it.
. "$(dirname "$0")/../lib/test.sh"
requires cmp
server_begin
agent_begin alpha
make_image "$work/a.raw" 96 16
add_image alpha a "$work/a.raw"
backup a
cp --sparse=always "$work/a.raw" "$work/first.raw"
scribble "$work/a.raw" 0 512

step "to another directory, under another name"
mkdir "$work/elsewhere"
expect 0 holdfast restore vm "$point" --to-host alpha --name b --dir "$work/elsewhere" --wait
mapfile -t files < <(find "$work/elsewhere" -type f)
equal 1 "${#files[@]}" "number of restored files"
cmp "$work/first.raw" "${files[0]}" || fail "the restored image differs"
cmp -s "$work/first.raw" "$work/a.raw" && fail "the original was touched"

step "a directory that does not exist"
expect 1 holdfast restore vm "$point" --to-host alpha --name c --dir "$work/nowhere" --wait
said RESTORE_TARGET_MISSING

step "to the original place"
expect 0 holdfast restore vm "$point" --to-original --wait
cmp "$work/first.raw" "$work/a.raw" || fail "the original is not as it was"
leftover=$(find "$work" -maxdepth 1 -name '*a.raw*' ! -name a.raw)
[ -z "$leftover" ] || fail "left behind: $leftover"

step "and the next backup finds nothing new"
backup a
less "$(value .sent_bytes rp show "$point")" 1048576 "bytes sent after the restore"
