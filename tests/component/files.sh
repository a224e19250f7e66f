#!/usr/bin/env bash
# Files as a datasource: a tar archive of directories that every tar reads, of which only what changed travels; and back
# into directories.
. "$(dirname "$0")/../lib/test.sh"
requires tar setfattr getfattr setfacl getfacl python3
server_begin
agent_begin alpha

# fetch POINT FILE: the archive of the point.
fetch() {
    rm -f "$2"
    restore_disk "$1" files "$2" raw
}
# everything DIRECTORY: what is known of each entry in it, but the times at which it was read.
everything() {
    (cd "$1" && find . -printf '%p|%y|%m|%U:%G|%T@|%n|%l\n' | sort &&
        find . -type f -print0 | sort -z | xargs -0 sha256sum &&
        find . -print0 | sort -z | xargs -0 getfattr -h -d -m - && getfacl -R -n .)
}
# as_before DIRECTORY
as_before() {
    everything "$1" >"$work/after"
    diff -a "$work/before" "$work/after" >"$work/difference" || { head -n 30 "$work/difference" >&2; fail "$1 is not as it was"; }
}
warnings() { value '[.log[] | select(.level == "warning") | .message] | join("\n")' job show "$job"; }

# --- a tree of everything there is
tree=$work/tree
mkdir -p "$tree/docs/deep/er" "$tree/empty" "$tree/many" "$tree/skip/cache"
head -c 6M /dev/urandom >"$tree/docs/big.bin"
head -c 70000 /dev/urandom >"$tree/docs/deep/medium"
: >"$tree/docs/nothing"
echo text >"$tree/docs/deep/er/small.txt"
for ((i = 0; i < 300; i++)); do head -c $((i * 40)) /dev/urandom >"$tree/many/$i"; done
ln -s ../docs/big.bin "$tree/many/link"
ln -s "$(printf 'x%.0s' {1..150})" "$tree/docs/long-link"
ln "$tree/docs/big.bin" "$tree/many/zz-same"
mkfifo "$tree/docs/pipe"
mknod "$tree/docs/null" c 1 3
mknod "$tree/docs/disk" b 7 200
python3 -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$tree/docs/socket"
echo odd >"$tree/docs/"$'new\nline'
echo odd >"$tree/docs/"$'not\xff\xfeutf8'
echo odd >"$tree/docs/äöü"
long=$(printf 'd%.0s' {1..200})
mkdir -p "$tree/$long/$long"
echo far >"$tree/$long/$long/$long"
echo far >"$tree/$long/"$'\xff'"$(printf 'n%.0s' {1..180})"
truncate -s 20M "$tree/docs/sparse"
echo data | dd of="$tree/docs/sparse" bs=1M seek=9 conv=notrunc status=none
touch -d '1960-05-04 03:02:01.987654321' "$tree/docs/nothing"
touch -d '2019-05-04 03:02:01.000000001' "$tree/docs/deep"
touch -h -d '2001-01-01 01:01:01.5' "$tree/many/link"
chown 12345:54321 "$tree/docs/deep/medium"
chown -h 3000000:3000000 "$tree/many/link" "$tree/many/7"
chmod 4711 "$tree/docs/deep/medium"
chmod 1770 "$tree/empty"
setfattr -n user.colour -v $'blue\nand = more' "$tree/docs/big.bin"
setfattr -n user.other -v 0x00ff00 "$tree/docs"
setfacl -m u:1234:rwx,g:99:r "$tree/docs/deep/er/small.txt"
setfacl -d -m u:4321:rx "$tree/docs/deep"
echo no >"$tree/skip/cache/x"
echo no >"$tree/skip/a.tmp"
echo yes >"$tree/skip/keep"
touch -d 2020-02-02 "$tree/skip" "$tree/docs"

step "the first backup: an archive that tar reads"
add_files alpha web --exclude "$tree/skip/cache" --exclude '*.tmp' "$tree"
equal files "$(value .kind vm show web)" "kind"
backup web
equal full "$(job_field .mode)" "mode"
first=$point
size=$(value '.disks[0].size' rp show "$point")
fetch "$point" "$work/first.tar"
mkdir "$work/by-tar"
tar -xf "$work/first.tar" -C "$work/by-tar" --xattrs --xattrs-include='*' --acls --same-owner -p 2>"$work/tar.log"
rm -r "$tree/skip/cache" "$tree/skip/a.tmp" "$tree/docs/socket"
touch -d 2020-02-02 "$tree/skip" "$tree/docs"
everything "$tree" >"$work/before"
as_before "$work/by-tar$tree"
"$python" - "$work/first.tar" <<'P'
import sys, tarfile
names = [m.name for m in tarfile.open(sys.argv[1], errorlevel=2)]
assert len(names) == len(set(names)) > 300, len(names)
assert not [n for n in names if "skip/cache" in n or n.endswith(".tmp") or n.endswith("socket")]
P
less "$(du -k "$work/first.tar" | cut -f1)" $((size / 1024 - 15 * 1024)) "holes of the archive"

step "nothing changed: nothing travels"
backup web
equal check "$(job_field .mode)" "mode"
less "$(job_field .sent_bytes)" 20000 "bytes sent though nothing changed"

step "what changed travels, though everything is elsewhere in the archive"
head -c 100000 /dev/urandom >"$tree/docs/deep/aaa-new"
head -c 2000 /dev/urandom >"$tree/000-first"
head -c 300000 /dev/urandom >"$tree/001-first"
rm "$tree/many/30"
mv "$tree/many/40" "$tree/many/400"
echo more >>"$tree/docs/big.bin"
backup web
# 600 kB are new; of 2 MB of small files those move that lie before the next aligned one, which the names decide
less "$(job_field .sent_bytes)" 3500000 "bytes sent for some files"
equal completed "$(job_field .state)" "state"
fetch "$point" "$work/second.tar"
tar -df "$work/second.tar" -C / >"$work/compare" 2>&1 || { cat "$work/compare" >&2; fail "the archive is not what is on the disk"; }

step "into another directory"
mkdir "$work/else"
expect 0 holdfast restore vm "$first" --to-host alpha --dir "$work/else" --wait
as_before "$work/else$tree"
less "$(du -k "$work/else$tree/docs/sparse" | cut -f1)" 2000 "KiB of a file with holes"
equal 1 "$(find "$work/else" -mindepth 1 -maxdepth 1 | wc -l)" "number of things that the restore left in the directory"
expect_code RESTORE_PATH_EXISTS holdfast restore vm "$first" --to-host alpha --dir "$work/else" --wait
expect_code RESTORE_TARGET_MISSING holdfast restore vm "$first" --to-host alpha --dir "$work/nowhere" --wait
expect_code RESTORE_TARGET_MISSING holdfast restore vm "$first" --to-host alpha --wait
expect_code REQUEST_INVALID holdfast restore vm "$first" --to-host alpha --dir "$work/else" --format qcow2 --wait

step "in place: what changed is as it was, what is new stays"
rm -r "$tree/docs/deep" "$tree/many"
echo changed >"$tree/docs/big.bin"
expect 0 holdfast restore vm "$first" --to-original --wait
rm "$tree/000-first" "$tree/001-first"
touch -d "@$(LC_ALL=C awk -F'|' '$1 == "." {print $5}' "$work/before")" "$tree"
as_before "$tree"

step "the agent is killed in a restore: at its next start the archive beside the files goes"
mkdir "$work/again"
job=$(value .id restore vm "$first" --to-host alpha --dir "$work/again")
archive_there() { [ -n "$(find "$work/again" -maxdepth 1 -name '.holdfast-*')" ] || job_ended; }
wait_for 60 archive_there || fail "the restore does not begin"
kill_hard alpha
agent_start alpha
wait_for 60 job_ended || fail "the job does not end"
equal '' "$(find "$work/again" -maxdepth 1 -name '.holdfast-*')$(ls "$work/alpha/jobs")" "what is left of the restore"
