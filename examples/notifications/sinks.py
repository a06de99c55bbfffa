"""The world outside: stands in for a mail provider (SMTP) and for SMS, push and Slack APIs (HTTP).

python sinks.py [SMTP_PORT HTTP_PORT]    prints a line of JSON for everything that arrives
"""

from __future__ import annotations

import email
import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SMTP_PORT, HTTP_PORT = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (8025, 8026)
ONE_AT_A_TIME = threading.Lock()


def arrived(sink: str, event: int, to: str, text: str) -> None:
    """Tell what came out of which sender."""
    line = json.dumps({"sink": sink, "event": event, "to": to, "text": text})
    with ONE_AT_A_TIME:
        print(line, flush=True)


class Mail(socketserver.StreamRequestHandler):
    """As much SMTP (RFC 5321) as smtplib needs to hand over a message."""

    def handle(self) -> None:
        """One connection."""
        self.reply("220 sink")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.reply("354 go on")
                self.take_message()
            self.reply("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    def take_message(self) -> None:
        """The message itself, up to the line with a dot."""
        lines = list(iter(self.rfile.readline, b".\r\n"))
        message = email.message_from_bytes(b"".join(lines))
        text = str(message.get_payload()).strip()
        arrived("email", int(message["X-Event"]), message["To"], text)

    def reply(self, line: str) -> None:
        """One line."""
        self.wfile.write(f"{line}\r\n".encode())


class Api(BaseHTTPRequestHandler):
    """POST /sms, /push or /slack with a JSON object."""

    def do_POST(self) -> None:
        """One message."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        arrived(self.path.strip("/"), body["event"], body["to"], body["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: what arrives is printed already."""


mail = socketserver.ThreadingTCPServer(("127.0.0.1", SMTP_PORT), Mail)
api = ThreadingHTTPServer(("127.0.0.1", HTTP_PORT), Api)
threading.Thread(target=mail.serve_forever, daemon=True).start()
addresses = {
    "SMTP_ADDRESS": f"127.0.0.1:{mail.server_address[1]}",
    "OUTSIDE_URL": f"http://127.0.0.1:{api.server_address[1]}",
}
print(json.dumps(addresses), flush=True)
api.serve_forever()
