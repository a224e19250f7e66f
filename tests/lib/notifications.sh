# Receivers of notifications for tests, and what they got. Source it behind test.sh.
# shellcheck shell=bash

# make_authority NAME: $work/NAME.key and $work/NAME.pem.
make_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=test $1" \
        -keyout "$work/$1.key" -out "$work/$1.pem" 2>>"$work/openssl.log"
}

# sign_certificate NAME AUTHORITY NAMES: $work/NAME.pem and $work/NAME.key, for those names (DNS:a,IP:b).
sign_certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
        -keyout "$work/$1.key" -out "$work/$1.csr" 2>>"$work/openssl.log"
    printf 'subjectAltName=%s\n' "$3" >"$work/$1.ext"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$2.pem" -CAkey "$work/$2.key" -CAcreateserial \
        -days 2 -extfile "$work/$1.ext" -out "$work/$1.pem" 2>>"$work/openssl.log"
}

# make_certificate: $work/tls.pem and $work/tls.key of "localhost" and 127.0.0.1, signed by $work/authority.pem.
make_certificate() {
    make_authority authority
    sign_certificate tls authority DNS:localhost,IP:127.0.0.1
}

# receiver_start NAME KIND PORT [CERTIFICATE]: messages are in $work/NAME.
receiver_start() {
    mkdir -p "$work/$1"
    : >"$work/$1.log"
    start "$1" "$python" "$tests/lib/receivers.py" "$2" "$3" "$work/$1" "$work/${4:-tls}.pem" "$work/${4:-tls}.key"
    wait_for 20 grep -q ready "$work/$1.log" || fail "the receiver $1 does not start"
}

# got NAME TEXT: a message to NAME has TEXT, mails decoded.
got() { "$python" "$tests/lib/messages.py" "$work/$1" >"$work/messages" && grep -qF -- "$2" "$work/messages"; }
# must_get NAME TEXT
must_get() {
    wait_for 60 got "$1" "$2" && return 0
    "$python" "$tests/lib/messages.py" "$work/$1" >&2
    fail "$1 was not told: $2"
}
