#!/usr/bin/env python3
"""A server in front of the server that loses answers: cutting_proxy.py PORT API-PORT DATA-DIRECTORY LOG
Passes each request on, and cuts the connection off instead of answering the first time that it sees each
Idempotency-Key. A line "METHOD PATH KEY" goes to LOG for each request."""
import http.client
import http.server
import ssl
import sys

port, api_port, data, log = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server = http.client.HTTPSConnection("127.0.0.1", api_port, context=ssl.create_default_context(cafile=data + "/ca.pem"))
        server.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() != "host"})
        answer = server.getresponse()
        content = answer.read()
        key = self.headers.get("Idempotency-Key")
        with open(log, "a", encoding="utf-8") as out:
            print(self.command, self.path, key, file=out)
        if key is not None and key not in seen:
            seen.add(key)
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = do_PATCH = pass_on

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(data + "/server.pem", data + "/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass
