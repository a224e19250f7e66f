# Shared by the scripts of deploy/: packages, messages, and waiting. To be sourced; needs bash.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# install_packages LIST...: what the lists in deploy/packages name and the machine does not have.
install_packages() {
    local missing=() package
    for list in "$@"; do
        while read -r package; do
            dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
        done <"$top/deploy/packages/$list"
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" -eq 0 ] || die "these packages are missing, and only root can install them: ${missing[*]}"
    command -v apt-get >/dev/null || die "these packages are missing, and there is no apt-get: ${missing[*]}"
    printf 'installing %s\n' "${missing[*]}"
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "the packages could not be installed"
    fi
    rm -f "$log"
}

# wait_for SECONDS COMMAND...: try until it succeeds, $patience times as long on a machine that has other work.
wait_for() {
    local limit=$(($(date +%s) + $1 * ${patience:-1}))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$limit" ] || return 1
        sleep 0.1
    done
}

# end_process PIDFILE: SIGTERM, then SIGKILL after ten seconds. The pid is only believed while it is the program that
# was started (the file's second line is its start time).
end_process() {
    local file=$1 pid started
    [ -s "$file" ] || return 0
    { read -r pid; read -r started; } <"$file" || true
    if [ -n "$pid" ] && [ "$(process_started "$pid")" = "$started" ]; then
        kill "$pid" 2>/dev/null || true
        wait_for 10 process_gone "$pid" || kill -9 "$pid" 2>/dev/null || true
    fi
    rm -f "$file"
}

process_started() { awk '{print $22}' "/proc/$1/stat" 2>/dev/null; }
process_gone() { ! kill -0 "$1" 2>/dev/null; }

# note_process PID PIDFILE
note_process() { printf '%s\n%s\n' "$1" "$(process_started "$1")" >"$2"; }

# A TCP port of 127.0.0.1 that nobody listens on, PREFERRED if it is free.
free_port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 10))
    done
    printf '%s\n' "$port"
}
