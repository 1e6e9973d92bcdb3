"""Receives a shop's events by webhooks: believes what is signed, and leaves out what it has had.

    python3 webhook_receiver.py --shop http://127.0.0.1:8080 --token "$(seckill mint --admin ann)"

makes an endpoint at the shop, keeps its secret, has it enabled, prints each event, and deletes the endpoint when it
ends; needs the standard library alone. On this machine the shop needs `webhooks.allow_private = "127.0.0.1"`. With
--replay it asks for all that has happened, as far as the shop's journal has it; with --events N it ends after so many.
At an endpoint that was made by somebody else: --secret whsec_... and --port.
"""

import argparse
import base64
import hashlib
import hmac
import json
import signal
import sys
import threading
import time
import urllib.error
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
        """Acts on an event that is news: no repeat, and none that a later one has overtaken. Returns the status to
        answer with: 204 if nothing is left to do about the event, 503 if no more events are wanted."""
        key, sequence = event.get("partitionkey"), event.get("sequence", "")
        # Several requests are answered at once, and each event is looked for, acted on and counted in one.
        with self.lock:
            if self.left == 0:
                return 503
            if key is not None and sequence <= self.latest.get(key, ""):
                return 204
            print(event["type"], event.get("subject", ""), json.dumps(event["data"]), flush=True)
            if key is not None:
                self.latest[key] = sequence
            self.left -= 1
            return 204

    def answered(self):
        """Lets the program end once the last event was answered."""
        if self.left == 0:
            self.is_full.set()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what it has taken or has had, and 401 to what it does not believe."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    secrets = []
    inbox = None

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
        # Only when it is answered is it taken: what breaks off before comes again.
        self.answer(204 if event["type"] == "seckill.webhook.ping" else self.inbox.take(event))
        self.inbox.answered()

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Refused(Exception):
    """What the shop said instead of doing what it was asked, or that it did not answer."""


class Shop:
    """The part of the shop's interface that a receiver needs."""

    def __init__(self, origin, token):
        self.place = f"{origin}/api/v1/admin/webhooks"
        self.token = token

    def post(self, path, body=None):
        return json.loads(self.ask("POST", path, {} if body is None else body))

    def delete(self, path):
        self.ask("DELETE", path)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            self.place + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.token}", "content-type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(self.explained(error)) from error
        except OSError as error:
            raise Refused(f"the shop does not answer: {error}") from error

    def explained(self, error):
        """What the shop said, and what to do about it."""
        try:
            problem = json.load(error)
        except ValueError:
            problem = {}
        code = problem.get("code", "")
        advice = {
            "too_many_webhooks": f"DELETE one that nobody needs, {self.place}/ENDPOINT_ID: a GET of {self.place} or"
            " `seckill webhooks list` shows them; or raise webhooks.endpoints_max",
            "webhook_ping_failed": "the shop has to reach this receiver: look at --host and --port",
            "invalid_field": 'a receiver on this machine needs webhooks.allow_private = "127.0.0.1" at the shop',
            "unauthenticated": "make a token by `seckill mint --admin NAME`",
            "forbidden": "make an admin's token by `seckill mint --admin NAME`",
        }.get(code)
        said = f"the shop answered {error.code} {code}: {problem.get('detail', error.reason)}"
        return f"{said}\n{advice}" if advice else said


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
    if not options.shop:
        Receiver.inbox.is_full.wait()
        return
    shop = Shop(options.shop.rstrip("/"), options.token)
    made = shop.post("", {"url": url, "description": "examples/python/webhook_receiver.py"})
    path = "/" + made["webhook"]["endpoint_id"]
    try:
        Receiver.secrets.append(made["secret"])
        shop.post(f"{path}/enable")
        if options.replay:
            shop.post(f"{path}/replay", {"from": "1970-01-01T00:00:00Z"})
        print("enabled", flush=True)
        Receiver.inbox.is_full.wait()
    finally:
        shop.delete(path)


if __name__ == "__main__":
    # As Ctrl-C does, so that the endpoint is deleted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        pass
    except Refused as refused:
        sys.exit(str(refused))
