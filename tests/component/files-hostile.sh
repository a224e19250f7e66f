#!/usr/bin/env bash
# Archives that want to write outside of the directory that they are restored to, and directories that were exchanged for
# links: nothing outside is touched. The process that extracts, without a server.
. "$(dirname "$0")/../lib/test.sh"
requires "$HOLDFAST_BIN/holdfast-agent" python3

outside=$work/outside
target=$work/target
make_outside() {
    rm -rf "$outside"
    mkdir -p "$outside/directory"
    echo secret >"$outside/secret"
    echo secret >"$outside/directory/file"
    touch -d 2001-01-01 "$outside/directory/file" "$outside/secret" "$outside/directory" "$outside"
    find "$outside" -printf '%p %y %m %u %T@ %s %l\n' | sort >"$work/before"
}
untouched() {
    find "$outside" -printf '%p %y %m %u %T@ %s %l\n' | sort >"$work/after"
    diff "$work/before" "$work/after" || fail "$1: something outside was touched"
    grep -qx secret "$outside/secret" || fail "$1: a file outside was written"
}
# archive PYTHON: makes $work/archive.tar; add(name, type, link or content).
archive() {
    "$python" - "$work/archive.tar" "$outside" <<P
import io, sys, tarfile
outside = sys.argv[2]
out = tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT)
def add(name, kind=tarfile.REGTYPE, what="", mode=0o644, pax={}):
    item = tarfile.TarInfo(name)
    item.type, item.mode, item.mtime, item.pax_headers = kind, mode, 1e9, dict(pax)
    if kind == tarfile.REGTYPE:
        item.size = len(what)
        out.addfile(item, io.BytesIO(what.encode()))
    else:
        item.linkname = what
        out.addfile(item)
LINK, HARD, DIRECTORY, DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE
$1
out.close()
P
}
# extract FAILURES: in both ways; "good" must have come out, and so many entries not.
extract() {
    local way
    for way in new replace; do
        rm -rf "$target"
        mkdir "$target"
        [ -z "${prepare:-}" ] || eval "$prepare"
        expect 0 "$HOLDFAST_BIN/holdfast-agent" extract-files "$work/archive.tar" "$target" "$way"
        untouched "$2, $way"
        grep -q "^done [0-9]* $1\$" "$work/out" || { cat "$work/out"; fail "$2, $way: not $1 entries failed"; }
        grep -qx good "$target/good" || fail "$2, $way: what is good did not come out"
        [ ! -e "$work/escaped" ] || fail "$2, $way: a file escaped"
    done
}

make_outside
step "paths that lead upwards or are absolute"
archive 'add("../escaped", what="bad"); add("a/../../escaped", what="bad"); add("good", what="good\n")'
extract 2 "upwards"
archive 'add(outside + "/secret", what="bad"); add("good", what="good\n")'
extract 1 "absolute"
archive 'add("x", what="bad", pax={"path": outside + "/secret"}); add("good", what="good\n")'
extract 1 "absolute in the extended header"

step "through symbolic links of the archive"
archive 'add("way", LINK, outside); add("way/secret", what="bad"); add("way/directory", DIRECTORY, mode=0o777)
add("way/directory/file", what="bad"); add("good", what="good\n")'
extract 3 "symbolic link"
archive 'add("one", LINK, ".."); add("two", LINK, "one/outside"); add("two/secret", what="bad"); add("good", what="good\n")'
extract 1 "links of links"
archive 'add("secret", LINK, outside + "/secret"); add("secret", what="bad"); add("good", what="good\n")'
prepare='' extract "[01]" "a file in the place of a link"
archive 'add("d", LINK, outside + "/directory"); add("d", DIRECTORY, mode=0o777); add("d/file", what="bad"); add("good", what="good\n")'
extract "[0-2]" "a directory in the place of a link"

step "hard links to what is outside"
archive 'add("h", HARD, outside + "/secret"); add("h", what="bad"); add("good", what="good\n")'
extract "[12]" "absolute hard link"
archive 'add("h", HARD, "../outside/secret"); add("h", what="bad"); add("good", what="good\n")'
extract "[12]" "hard link upwards"
archive 'add("way", LINK, outside); add("h", HARD, "way/secret"); add("h", what="bad"); add("good", what="good\n")'
extract "[12]" "hard link through a symbolic one"

step "links that were there before"
archive 'add("d", DIRECTORY, mode=0o777); add("d/file", what="bad"); add("good", what="good\n")'
prepare="ln -s '$outside/directory' '$target/d'" extract "[0-2]" "a link in the place of a directory"
archive 'add("d/directory/file", what="bad"); add("good", what="good\n")'
prepare="ln -s '$outside' '$target/d'" extract 1 "a link above a file"
archive 'add("f", what="bad"); add("good", what="good\n")'
prepare="ln -s '$outside/secret' '$target/f'" extract "[01]" "a link in the place of a file"
prepare="ln '$outside/secret' '$target/f'"
rm -rf "$target"; mkdir "$target"; eval "$prepare"
expect 0 "$HOLDFAST_BIN/holdfast-agent" extract-files "$work/archive.tar" "$target" replace
untouched_content() { grep -qx secret "$outside/secret" || fail "a file with another link was written in place"; }
untouched_content
grep -qx bad "$target/f" || fail "a file with two links was not replaced"
prepare=

step "what exists stays, unless it is to be replaced"
archive 'add("old", what="bad"); add("good", what="good\n")'
rm -rf "$target"; mkdir "$target"; echo old >"$target/old"
expect 0 "$HOLDFAST_BIN/holdfast-agent" extract-files "$work/archive.tar" "$target" new
grep -qx old "$target/old" || fail "an existing file was overwritten"

step "what is no archive, or ends early"
head -c 100000 /dev/urandom >"$work/archive.tar"
rm -rf "$target"; mkdir "$target"
expect 1 "$HOLDFAST_BIN/holdfast-agent" extract-files "$work/archive.tar" "$target" new
archive 'add("good", what="good\n"); add("long", what="x" * 500000)'
truncate -s 100000 "$work/archive.tar"
expect 1 "$HOLDFAST_BIN/holdfast-agent" extract-files "$work/archive.tar" "$target" new
expect 1 "$HOLDFAST_BIN/holdfast-agent" extract-files "$work/archive.tar" "$work/nowhere" new
