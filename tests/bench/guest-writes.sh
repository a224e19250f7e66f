#!/usr/bin/env bash
# What a backup costs the guest: the latency of small synced writes at random places, with a backup running and without,
# how long file systems are frozen, and what an incremental backup takes. Not a test: prints figures.
#
#   HOLDFAST_BIN=build-release/bin tests/bench/guest-writes.sh [SECONDS]
. "$(dirname "$0")/../lib/test.sh"
. "$top/tests/lib/guest.sh"
seconds=${1:-15}

# writer SECONDS: 4 KiB to random places of a file of 256 MiB, synced each; prints their number, p50, p99, max in ms
writer='use Fcntl; my ($s) = @ARGV; my @t; srand 1;
sub now { my $b = "\0" x 16; syscall(228, 1, $b); my ($s, $n) = unpack("qq", $b); return $s + $n / 1e9; } # clock_gettime
sysopen(my $f, "/data/vdb/random", O_RDWR | 04010000) or die; my $e = now() + $s;
while (now() < $e) { my $b = now(); sysseek($f, 4096 * int(rand(65536)), 0); syswrite($f, "x" x 4096) == 4096 or die; push @t, now() - $b; }
@t = sort { $a <=> $b } @t; printf "%d %.2f %.2f %.2f\n", scalar @t, 1000 * $t[@t * 0.5], 1000 * $t[@t * 0.99], 1000 * $t[-1];'
# in the background: while file systems are frozen the guest agent runs nothing
begin_writing() { guest_run web1 "(perl -e '$writer' $1 >/run/result.new; mv /run/result.new /run/result) >/dev/null 2>&1 &"; }
end_writing() {
    sleep "$(($1 + 1))"
    [ -z "${loop:-}" ] || kill "$loop" 2>/dev/null || true
    loop=
    wait_for 60 idle
    guest_run web1 'cat /run/result; rm /run/result'
}
idle() { [ "$(value '[.items[] | select(.state == "running" or .state == "queued")] | length' job list)" = 0 ]; }

guest_begin web1
guest_run web1 'head -c 256M /dev/urandom >/data/vdb/random; head -c 500M /dev/urandom >/data/vdb/other; sync'
holdfast backup web1 --wait >/dev/null 2>&1
printf 'incremental backups of an idle guest: '
for i in 1 2 3 4 5; do
    holdfast backup web1 --wait >/dev/null 2>&1
    job=$(last_job)
    printf '%s ms ' $((($(date -d "$(job_field .finished)" +%s%N) - $(date -d "$(job_field .started)" +%s%N)) / 1000000))
done
printf '\n'
for round in 1 2 3; do
    begin_writing "$seconds"
    without=$(end_writing "$seconds")
    begin_writing "$seconds"
    (while :; do holdfast backup web1 --full --wait >>"$work/backups.log" 2>&1 || true; done) &
    loop=$!
    with=$(end_writing "$seconds")
    backups=$(grep -c completed "$work/backups.log")
    printf 'round %s, writes, p50 p99 max (ms): without %s; with %s (%s backups so far)\n' "$round" "$without" "$with" "$backups"
done
grep -o 'frozen_ms=[0-9]*' "$work/alpha.log" | cut -d= -f2 | sort -n |
    awk '{v[NR] = $1} END {printf "file systems frozen: median %d ms, most %d ms, %d backups\n", v[int((NR + 1) / 2)], v[NR], NR}'
