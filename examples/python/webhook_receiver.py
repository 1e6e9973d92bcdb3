"""Receives a shop's events by webhooks: believes what is signed, and leaves out what it has had.

    python3 webhook_receiver.py --shop http://127.0.0.1:8080 --token "$(seckill mint --admin ann)"

makes an endpoint at the shop, keeps its secret, has it enabled and prints each event; needs the standard library
alone. On this machine the shop needs `webhooks.allow_private = "127.0.0.1"`. With --replay it asks for all that has
happened, as far as the shop's journal has it; with --events N it ends after so many. At an endpoint that was made by
somebody else: --secret whsec_... and --port.
"""

import argparse
import base64
import hashlib
import hmac
import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_SECONDS = 300
BODY_BYTES_MAX = 1024 * 1024


class NotBelieved(Exception):
    """Why a request is not believed."""


def verify(secrets, headers, body, now):
    """Raises NotBelieved unless the body was signed with one of the secrets, within five minutes of now."""
    identity = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not identity or not timestamp.isdecimal():
        raise NotBelieved("it is not signed")
    if abs(int(timestamp) - now) > TOLERANCE_SECONDS:
        raise NotBelieved("it was signed too long ago, or will be")
    message = f"{identity}.{timestamp}.".encode() + body
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        tag = base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
        # While a secret is changed there are several signatures, with spaces between them.
        for signature in headers.get("webhook-signature", "").split():
            if hmac.compare_digest(signature, f"v1,{tag}"):
                return
    raise NotBelieved("no signature is right")


class Inbox:
    """What has been received: of each order and item the latest event. A real one keeps this in its database, in the
    transaction in which it acts on the event."""

    def __init__(self, wanted):
        self.lock = threading.Lock()
        self.latest = {}
        self.left = wanted
        self.is_full = threading.Event()

    def take(self, event):
        """Whether the event is news: no repeat, and none that a later one has overtaken."""
        key, sequence = event.get("partitionkey"), event.get("sequence", "")
        with self.lock:
            if key is not None and sequence <= self.latest.get(key, ""):
                return False
            if key is not None:
                self.latest[key] = sequence
            return True

    def count(self):
        """Notes that an event was acted on."""
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.is_full.set()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what it has taken or has had, and 401 to what it does not believe."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    secrets = []
    inbox = None
    printing = threading.Lock()

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            self.answer(413)
            self.close_connection = True
            return
        body = self.rfile.read(int(length))
        try:
            verify(self.secrets, self.headers, body, time.time())
            event = json.loads(body)
        except (NotBelieved, ValueError) as error:
            print(f"refused: {error}", file=sys.stderr)
            self.answer(401)
            return
        is_ping = event["type"] == "seckill.webhook.ping"
        is_news = not is_ping and self.inbox.take(event)
        if is_news:
            # Several requests are answered at once, and a line is one event's.
            with self.printing:
                print(event["type"], event.get("subject", ""), json.dumps(event["data"]), flush=True)
        # Only now is it taken: what breaks off before comes again.
        self.answer(204)
        if is_news:
            self.inbox.count()

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Shop:
    """The part of the shop's interface that a receiver needs."""

    def __init__(self, origin, token):
        self.place = f"{origin}/api/v1/admin/webhooks"
        self.token = token

    def post(self, path, body=None):
        request = urllib.request.Request(
            self.place + path,
            data=json.dumps({} if body is None else body).encode(),
            headers={"authorization": f"Bearer {self.token}", "content-type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shop", help="where the shop is, such as http://127.0.0.1:8080")
    parser.add_argument("--token", help="an admin's token, from `seckill mint --admin NAME`")
    parser.add_argument("--secret", action="append", default=[], help="an endpoint's secret, whsec_...")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--replay", action="store_true", help="ask for all that has happened")
    parser.add_argument("--events", type=int, default=-1, help="end after so many events")
    options = parser.parse_args()
    if not options.secret and not (options.shop and options.token):
        parser.error("--shop and --token are needed, or --secret")

    Receiver.secrets, Receiver.inbox = options.secret, Inbox(options.events)
    server = ThreadingHTTPServer((options.host, options.port), Receiver)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://{options.host}:{server.server_port}/"
    print(f"listening on {url}", flush=True)
    if options.shop:
        shop = Shop(options.shop.rstrip("/"), options.token)
        made = shop.post("", {"url": url, "description": "examples/python/webhook_receiver.py"})
        Receiver.secrets.append(made["secret"])
        path = "/" + made["webhook"]["endpoint_id"]
        shop.post(f"{path}/enable")
        if options.replay:
            shop.post(f"{path}/replay", {"from": "1970-01-01T00:00:00Z"})
        print("enabled", flush=True)
    Receiver.inbox.is_full.wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
