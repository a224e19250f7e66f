#!/usr/bin/env bash
# An encrypted store: nothing readable lies in it, its secrets change without rewriting data, and a copy of its directory
# restores on another machine with the passphrase alone.
. "$(dirname "$0")/../lib/test.sh"
printf 'correct horse battery staple\n' >"$work/passphrase"
printf 'something else entirely\n' >"$work/other"
holdfastd=$HOLDFAST_BIN/holdfastd
server_init --passphrase-file "$work/passphrase"
server_start
agent_begin alpha
make_image "$work/a.raw" 64 8
for _ in $(seq 20000); do printf 'a phrase that nobody may read in the store\n'; done | dd of="$work/a.raw" bs=64K seek=100 conv=notrunc status=none
add_image alpha a "$work/a.raw"
backup a
same_disk "$point" disk0 "$work/a.raw"
scribble "$work/a.raw" 9000 1000
backup a
same_disk "$point" disk0 "$work/a.raw"
expect 0 holdfast store verify --wait
mkdir "$work/restored"
expect 0 holdfast restore vm "$point" --to-host alpha --name b --dir "$work/restored" --wait
same_file "$(find "$work/restored" -type f)" "$work/a.raw"
grep -rqa 'nobody may read' "$work/server/store" && fail "plain text lies in the store"

step "secrets: wrong, changed, recovery key"
stop alpha
stop server
sums() { find "$work/server/store/containers" -type f -exec sha256sum {} + | sort; }
before=$(sums)
expect_error 4 STORE_KEY_WRONG store "$holdfastd" key list --data "$work/server" --passphrase-file "$work/other"
expect 0 "$holdfastd" key recovery --data "$work/server"
grep -E '^  [0-9A-Z-]{60,}$' "$work/out" | tr -d ' ' >"$work/recovery"
expect 0 "$holdfastd" key change --data "$work/server" --new-passphrase-file "$work/other"
expect_error 4 STORE_KEY_WRONG store "$holdfastd" key list --data "$work/server"
expect 0 "$holdfastd" key list --data "$work/server" --recovery-file "$work/recovery"
said 'recovery key'
expect_error 4 STORE_KEY_WRONG store "$holdfastd" run --data "$work/server"
equal "$before" "$(sums)" "the containers after the secrets changed"

step "a copy of the store, another machine, the passphrase alone"
cp -r "$work/server/store" "$work/copied"
rm -r "$work/copied/index" "$work/server"
expect_error 4 STORE_KEY_WRONG store "$holdfastd" init --data "$work/wrong" --store "$work/copied" \
    --passphrase-file "$work/passphrase"
server_init --store "$work/copied" --passphrase-file "$work/other"
server_start
same_disk "$point" disk0 "$work/a.raw"
