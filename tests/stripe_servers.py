"""Two stand-ins for Stripe: its own `stripe-mock`, and a fake for what that cannot do.

`stripe-mock` holds every request against Stripe's OpenAPI description and answers with fixtures, but it has no memory
and no declines. `FakeStripe` has idempotency keys, declines, lost answers and 5xx, but judges no parameters.
"""

import json
import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from processor.embedded.broker import free_port

MODULE = "github.com/stripe/stripe-mock"
VERSION = "v0.203.0"
KEY = "sk_test_123"
READY_S = 20.0
HANG_S = 60.0


def _go(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["go", *arguments], env={**os.environ, **environment}, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def stripe_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Starts servers whose intents have the given status, and returns their addresses; built once per user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "communication-credits"
    directory = cache / f"stripe-mock-{VERSION}"
    if not (directory / "stripe-mock").exists():
        if shutil.which("go") is None:
            pytest.skip("no Go to build stripe-mock with: apt-get install golang-go")
        _go("install", f"{MODULE}@{VERSION}", GOBIN=str(directory))
    if not (directory / "fixtures3.json").exists():
        source = Path(json.loads(_go("mod", "download", "-json", f"{MODULE}@{VERSION}"))["Dir"])
        for name in ("spec3.json", "fixtures3.json"):
            shutil.copyfile(source / "embedded" / "openapi" / name, directory / name)
    running: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}

    def start(status: str) -> str:
        if status not in running:
            fixtures = json.loads((directory / "fixtures3.json").read_text())
            fixtures["resources"]["payment_intent"] |= {"status": status, "amount": 5000, "currency": "usd"}
            changed = tmp_path_factory.mktemp("stripe") / "fixtures.json"
            changed.write_text(json.dumps(fixtures))
            port = free_port()
            command = [str(directory / "stripe-mock"), "-http-addr", f"127.0.0.1:{port}", "-https-addr", "127.0.0.1:"]
            command += ["-spec", str(directory / "spec3.json"), "-fixtures", str(changed)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running[status] = (f"http://127.0.0.1:{port}", process)
            _await_answer(running[status][0])
        return running[status][0]

    yield start
    for _, process in running.values():
        process.kill()
        process.wait()


def _await_answer(address: str) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            urllib.request.urlopen(address, timeout=1)  # noqa: S310 - our own server
        except urllib.error.HTTPError:
            return
        except OSError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.02)


class FakeStripe(ThreadingHTTPServer):
    """Stripe's payment intents with a memory. The payment method says what happens:

    `pm_ok` pays · `pm_declined_CODE` is declined by the issuer · `pm_lost` pays and drops the connection · `pm_500`
    pays and answers 500, remembered under the key · `pm_halfway` is left unconfirmed by such a 500 · `pm_503`
    answers 503 once, before doing anything · `pm_down` always does · `pm_429` is asked for too often, once ·
    `pm_processing` is being processed until it is asked about · `pm_paid_by_hand` is declined, and paid in the
    dashboard before anybody can cancel it · `pm_hang` pays when `go_on` is set, not before · `pm_missing` does not
    exist · `pm_forbidden` is not this key's.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.intents: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, tuple[dict[str, str], int, dict[str, Any]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.refused_once: set[str] = set()
        self.under_way: set[str] = set()
        self.fingerprint = "card-one"
        self.hanging, self.go_on = threading.Event(), threading.Event()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"

    def pass_time(self, time: timedelta) -> None:
        """Makes everything so much older; keys are forgotten after a day, as Stripe's are."""
        for intent in self.intents.values():
            intent["created"] -= int(time.total_seconds())
        if time > timedelta(days=1):
            self.keys.clear()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing about connections that a test drops."""

    def paid(self) -> list[str]:
        """The recharge ids for which money was taken, one for each time."""
        return [each["metadata"]["recharge_id"] for each in self.intents.values() if each["status"] == "succeeded"]

    def create(self, key: str, form: dict[str, str]) -> tuple[int, dict[str, Any]] | None:
        """Answers a creation; None drops the connection."""
        if key in self.keys:
            first, status, answer = self.keys[key]
            if first != form:
                return 400, {"error": {"type": "idempotency_error", "message": "other parameters"}}
            return status, answer
        method = form["payment_method"]
        if method == "pm_down":
            return 503, {"error": {"type": "api_error", "message": "down"}}
        if method in ("pm_503", "pm_429") and key not in self.refused_once:
            self.refused_once.add(key)
            kind = "api_error" if method == "pm_503" else "invalid_request_error"
            return int(method[3:]), {"error": {"type": kind, "message": "later"}}
        if method == "pm_missing":
            return 400, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": method}}
        if method == "pm_forbidden":
            return 403, {"error": {"type": "invalid_request_error", "message": "this key may not do that"}}
        if key in self.under_way:
            return 409, {"error": {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": "wait"}}
        self.under_way.add(key)
        if method == "pm_hang":
            self.hanging.set()
            self.go_on.wait(HANG_S)
        status, answer = self._execute(method, form)
        self.keys[key] = (form, status, answer)
        self.under_way.remove(key)
        return None if method == "pm_lost" else (status, answer)

    def cancel(self, intent: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Cancels what is open; an update clears the error of the last payment."""
        if intent["status"] not in ("requires_payment_method", "requires_action"):
            code = "payment_intent_unexpected_state"
            return 400, {"error": {"type": "invalid_request_error", "code": code, "message": intent["status"]}}
        intent |= {"status": "canceled", "last_payment_error": None}
        return 200, dict(intent)

    def _execute(self, method: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        card = {"card": {"fingerprint": self.fingerprint}}
        intent: dict[str, Any] = {
            "id": f"pi_{len(self.intents) + 1}",
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "currency": form["currency"],
            "customer": form["customer"],
            "created": int(time.time()),
            "status": "succeeded",
            "metadata": {"recharge_id": form["metadata[recharge_id]"], "tenant_id": form["metadata[tenant_id]"]},
            "latest_charge": {"object": "charge", "payment_method_details": card},
            "last_payment_error": None,
        }
        self.intents[intent["id"]] = intent
        if method.startswith("pm_declined_") or method == "pm_paid_by_hand":
            code = method.removeprefix("pm_declined_")
            error = {"type": "card_error", "code": "card_declined", "decline_code": code, "payment_method": card}
            declined = {**intent, "status": "requires_payment_method", "last_payment_error": error}
            declined["latest_charge"] = {
                **intent["latest_charge"],
                "failure_code": "card_declined",
                "outcome": {"reason": code},
            }
            if method != "pm_paid_by_hand":
                self.intents[intent["id"]] = declined
            return 402, {"error": {**error, "message": "no", "payment_intent": dict(declined)}}
        if method == "pm_halfway":
            intent["status"] = "requires_confirmation"
        if method in ("pm_500", "pm_halfway"):
            return 500, {"error": {"type": "api_error", "message": "sorry"}}
        if method == "pm_processing":
            return 200, {**intent, "status": "processing"}
        return 200, dict(intent)


class _Handler(BaseHTTPRequestHandler):
    server: FakeStripe
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.server.requests.append(("POST", self.path))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            self._answer(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}})
        elif self.path.endswith("/confirm"):
            intent = self.server.intents[self.path.split("/")[-2]]
            intent["status"] = "succeeded"
            self._answer(200, intent)
        elif self.path.endswith("/cancel"):
            self._answer(*self.server.cancel(self.server.intents[self.path.split("/")[-2]]))
        elif (answer := self.server.create(self.headers["Idempotency-Key"], form)) is None:
            self.close_connection = True
            self.connection.close()
        else:
            self._answer(*answer)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.server.requests.append(("GET", url.path))
        if url.path == "/v1/payment_intents":
            asked = parse_qs(url.query)
            customer, since = asked["customer"][0], int(asked["created[gte]"][0])
            found = [each for each in self.server.intents.values() if each["customer"] == customer]
            found = [each for each in found if each["created"] >= since]
            self._answer(200, {"object": "list", "url": url.path, "has_more": False, "data": found})
        else:
            self._answer(200, self.server.intents[url.path.rpartition("/")[2]])

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


@pytest.fixture
def fake_stripe() -> Iterator[FakeStripe]:
    """A fake of Stripe on a port of its own."""
    with FakeStripe() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()
