# Receivers of notifications for tests, and what they got. Source it behind test.sh.
# shellcheck shell=bash

# make_certificate: $work/tls.pem and $work/tls.key of "localhost" and 127.0.0.1, signed by $work/authority.pem.
make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=test authority" \
        -keyout "$work/authority.key" -out "$work/authority.pem" 2>>"$work/openssl.log"
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
        -keyout "$work/tls.key" -out "$work/tls.csr" 2>>"$work/openssl.log"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$work/tls.ext"
    openssl x509 -req -in "$work/tls.csr" -CA "$work/authority.pem" -CAkey "$work/authority.key" -CAcreateserial \
        -days 2 -extfile "$work/tls.ext" -out "$work/tls.pem" 2>>"$work/openssl.log"
}

# receiver_start NAME KIND PORT: messages are in $work/NAME.
receiver_start() {
    mkdir -p "$work/$1"
    : >"$work/$1.log"
    start "$1" "$python" "$tests/lib/receivers.py" "$2" "$3" "$work/$1" "$work/tls.pem" "$work/tls.key"
    wait_for 20 grep -q ready "$work/$1.log" || fail "the receiver $1 does not start"
}

# got NAME TEXT: a message to NAME has TEXT, mails decoded.
got() { "$python" "$tests/lib/messages.py" "$work/$1" | grep -qF -- "$2"; }
# must_get NAME TEXT
must_get() {
    wait_for 60 got "$1" "$2" && return 0
    "$python" "$tests/lib/messages.py" "$work/$1" >&2
    fail "$1 was not told: $2"
}
