#!/usr/bin/env python3
"""What notifications are delivered to in tests: a mail server (aiosmtpd, with AUTH and STARTTLS, or TLS from the first
byte) or an HTTPS server.
receivers.py mail|smtps|plain|webhook|hang PORT DIRECTORY [CERTIFICATE KEY]
Every message is a file in the directory: N.eml, or N.json with headers and body. `plain` is a mail server without
TLS, `hang` accepts and never says anything; each connection to it is a file N.accepted. Mails need user "holdfast" with password "s3cret pass"."""
import email.policy
import http.server
import json
import os
import signal
import socket
import ssl
import sys
import threading

kind, port, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3]
count = 0
lock = threading.Lock()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def keep(suffix, content):
    global count
    with lock:
        count += 1
        path = os.path.join(directory, f"{count:04}.{suffix}")
        with open(path + ".new", "wb") as file:
            file.write(content)
        os.rename(path + ".new", path)


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(sys.argv[4], sys.argv[5])
    return made


def mail(tls):  # "starttls", "smtps" or None
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult, LoginPassword

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            head = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {','.join(envelope.rcpt_tos)}\r\n"
            secured = session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None
            head += f"X-Secured: {secured}\r\nX-Authenticated: {session.authenticated}\r\n"
            keep("eml", head.encode() + envelope.original_content)
            return "250 taken"

    def authenticate(server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and data.login == b"holdfast" and data.password == b"s3cret pass"
        return AuthResult(success=good, handled=False)

    options = {"authenticator": authenticate, "auth_required": True}
    if tls == "starttls":
        options |= {"tls_context": context(), "require_starttls": True}
    elif tls == "smtps":
        options |= {"ssl_context": context(), "auth_require_tls": False}  # it knows of TLS by STARTTLS only
    else:
        options |= {"auth_require_tls": False, "auth_required": False}
    Controller(Handler(), hostname="127.0.0.1", port=port, ready_timeout=60, **options).start()


def webhook():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            refuse = os.path.exists(os.path.join(directory, "refuse"))
            if not refuse:
                keep("json", json.dumps({"headers": dict(self.headers), "body": body.decode()}).encode())
            self.send_response(503 if refuse else 204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.socket = context().wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def hang():
    listener = socket.create_server(("127.0.0.1", port))
    connections = []

    def accept():
        while True:
            connections.append(listener.accept())
            keep("accepted", b"")

    threading.Thread(target=accept, daemon=True).start()
    return listener


held = {"mail": lambda: mail("starttls"), "smtps": lambda: mail("smtps"), "plain": lambda: mail(None), "webhook": webhook,
        "hang": hang}[kind]()
print("ready", flush=True)
threading.Event().wait()
