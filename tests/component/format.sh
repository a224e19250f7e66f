#!/usr/bin/env bash
# A store restores by docs/format.md alone: a reader in Python that shares nothing with the programs, plain and encrypted,
# while the newest container is not sealed, and without the index.
. "$(dirname "$0")/../lib/test.sh"
requires "$python"
reader=$tests/format/read_store.py
printf 'a passphrase\n' >"$work/passphrase"
head -c 32 /dev/urandom >"$work/key"
make_image "$work/a.raw" 8 1
truncate -s +5000 "$work/a.raw"
cp "$work/a.raw" "$work/first.raw"
for kind in plain passphrase key; do
    step "$kind"
    secret=()
    [ "$kind" != passphrase ] || secret=(--passphrase-file "$work/passphrase")
    [ "$kind" != key ] || secret=(--key-file "$work/key")
    cp "$work/first.raw" "$work/a.raw"
    server_init "${secret[@]}"
    server_start
    agent_begin alpha
    add_image alpha a "$work/a.raw"
    backup a
    first=$point
    scribble "$work/a.raw" 700 200
    backup a
    stop alpha
    stop server
    rm -r "$work/server/store/index"
    "$python" "$reader" "$work/server/store" "${secret[@]}" list >"$work/list"
    equal 2 "$(grep -c ' a disk0$' "$work/list")" "number of points that the reader lists"
    "$python" "$reader" "$work/server/store" "${secret[@]}" restore "$first" disk0 "$work/out.raw"
    same_file "$work/out.raw" "$work/first.raw"
    rm "$work/out.raw"
    "$python" "$reader" "$work/server/store" "${secret[@]}" restore "$point" disk0 "$work/out.raw"
    same_file "$work/out.raw" "$work/a.raw"
    rm -r "$work/out.raw" "$work/server" "$work/alpha"
done
