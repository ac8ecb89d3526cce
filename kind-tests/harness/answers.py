"""An app that tells who asks: HTTP at 8080, UDP at 9090, both on wildcard sockets."""

from __future__ import annotations

HTTP, UDP = 8080, 9090
COMMAND = (
    "python3",
    "-c",
    f"""
import http.server, socket, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == "/never" else 200)
        self.end_headers()
        self.wfile.write(self.client_address[0].encode() + b"\\n")
    def log_message(self, form, *words):
        print("asked by", self.client_address[0], flush=True)
def datagrams():
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind(("", {UDP}))
        while True:
            _, client = s.recvfrom(4096)
            s.sendto(client[0].encode() + b"\\n", client)
threading.Thread(target=datagrams, daemon=True).start()
http.server.ThreadingHTTPServer(("", {HTTP}), Answer).serve_forever()
""",
)
