"""A console's read model, filled by the real domain without a broker."""

import secrets
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
import uvicorn
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine

from processor.console.access import Principal, Role, open_access
from processor.console.access_tables import METADATA
from processor.console.changes import ChangeSignal
from processor.console.commands import Commands
from processor.console.database import connect
from processor.console.lag import Lag
from processor.console.queries import Queries
from processor.console.readmodel import ReadModel, open_readmodel
from processor.console.records import FOLLOWED, Record, changes_of
from processor.console.server import http_config
from processor.console.signin import OneTimeLink, SignIn
from processor.console.state import State
from processor.console.web import create_app
from processor.contracts import outputs, topics
from processor.contracts.inputs import decode
from processor.domain.account import Account
from processor.domain.messages import Message
from processor.domain.metering import apply
from processor.domain.pools import UserPools
from processor.embedded.broker import free_port
from processor.stream.rates import Rates, Unobserved
from tests.unit import builders

CLUSTER = "test-cluster"
PLACES = [(topic, 0) for topic in FOLLOWED]


class ConsoleWorld:
    """A meter of many tenants whose records go straight into a read model; time stands at `builders.NOW`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.model = ReadModel(engine)
        self.offsets = dict.fromkeys(PLACES, 0) | self.model.start(CLUSTER, PLACES)
        self.accounts: dict[str, Account] = {}
        self.memory = builders.DictMemory()
        self.tariff = builders.tariff()
        self.now = builders.NOW

    def apply(self, message: Message) -> list[Record]:
        """Applies a message as the meter would and returns the records it leaves, unstored."""
        tenant = message.data.tenant_id
        account = self.accounts.setdefault(tenant, Account(tenant_id=tenant, currency="USD"))
        outcome = apply(account, message, self.tariff, self.now, self.memory)
        records = [self._record(topics.LEDGER, outputs.entry_record(entry)) for entry in outcome.entries]
        records += [
            self._record(topics.NOTIFICATIONS, outputs.notice_record(told, self.now)) for told in outcome.notices
        ]
        records += [
            self._record(topics.USER_POOLS, msgspec.json.encode(UserPools(tenant_id=of, user_id=user, pools=pools)))
            for (of, user), pools in self.memory.users.items()
            if of == tenant and pools
        ]
        return [*records, self._record(topics.ACCOUNT_STATE, outputs.encode(account))]

    def store(self, records: Iterable[Record]) -> None:
        self.model.store(changes_of(records))

    def tell(self, *messages: Message) -> None:
        """Applies messages and stores all they leave as one batch."""
        self.store([record for message in messages for record in self.apply(message)])

    def _record(self, topic: str, value: bytes) -> Record:
        offset = self.offsets[topic, 0]
        self.offsets[topic, 0] = offset + 1
        return Record(topic, 0, offset, value)


@cache
def _migrated() -> tuple[bytes, bytes]:
    """The two databases as the migrations leave them, made once."""
    with tempfile.TemporaryDirectory() as directory:
        model, access = Path(directory, "model"), Path(directory, "access")
        open_readmodel(f"sqlite:///{model}").dispose()
        connect(f"sqlite:///{access}", "access", METADATA).dispose()
        return model.read_bytes(), access.read_bytes()


def ms(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1000)


class Console:
    """The web application over a world, with a meter that answers every command at once."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        """Keeps its data in two SQLite files below `path`, or in one PostgreSQL database."""
        if url is None:
            model, access = path / "model.sqlite", path / "access.sqlite"
            for file, empty in zip((model, access), _migrated(), strict=True):
                file.write_bytes(empty)
            self.world = ConsoleWorld(open_readmodel(f"sqlite:///{model}"))
            self.access = open_access(f"sqlite:///{access}")
        else:
            self.world = ConsoleWorld(open_readmodel(url))
            self.access = open_access(url)
        self.sent: list[bytes] = []
        self.answering = True
        self.address = ""
        self.links: list[str] = []
        self.link = OneTimeLink(self.links.append)
        self.link.renew()
        self.signal = ChangeSignal()
        self.queries = Queries(self.world.engine)
        lag = Lag()
        lag.begin({("ledger.v1", 0): 0})
        lag.look({("ledger.v1", 0): 0})
        self.state = State(
            queries=self.queries,
            access=self.access,
            commands=Commands(self._take, self.access, self.queries, self.signal, self.clock),
            signal=self.signal,
            signin=SignIn(self.access, self.link),
            oidc=None,
            lag=lag,
            rates=Rates([], lambda: self.world.tariff, Unobserved(), 0),
            default_currency="USD",
            secure_cookies=False,
            closing=threading.Event(),
            clock=self.clock,
        )
        self.app = create_app(self.state)

    def close(self) -> None:
        self.world.engine.dispose()
        self.access.close()

    def clock(self) -> datetime:
        return self.world.now

    @contextmanager
    def serving(self, port: int | None = None, trusted_proxies: str = "") -> Iterator["Console"]:
        """Behind a web server of its own, at `address`."""
        port = port or free_port()
        self.address = f"http://127.0.0.1:{port}"
        config = http_config(self.app, "127.0.0.1", port, trusted_proxies, 1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)  # it tells nobody
            yield self
        finally:
            self.state.closing.set()
            self.signal.wake()
            server.should_exit = True
            thread.join()

    def client(self, role: Role | None = None, *tenants: str) -> TestClient:
        """A caller with a token of this role for these tenants, or for all of them."""
        client = TestClient(self.app, base_url="http://127.0.0.1", follow_redirects=False)
        if role is not None:
            who = Principal(f"{role.label} {secrets.token_hex(4)}", role, frozenset(tenants) or None)
            client.headers["Authorization"] = f"Bearer {self.access.add_token(who, 1)}"
        return client

    def browser(self, role: Role = Role.OPERATOR, *tenants: str) -> "Browser":
        """A signed-in browser."""
        return Browser(self, Principal("somebody", role, frozenset(tenants) or None))

    def _take(self, tenant: str, value: bytes) -> None:
        self.sent.append(value)
        if self.answering:
            message = decode(topics.ACCOUNT_COMMANDS, value)
            assert message.data.tenant_id == tenant
            self.world.tell(message)
            self.signal.stored([tenant])


class Browser(TestClient):
    """Holds a session's cookie and knows the secret that forms repeat."""

    def __init__(self, console: Console, who: Principal) -> None:
        super().__init__(console.app, base_url="http://127.0.0.1", follow_redirects=False)
        secret = console.access.open_session(who)
        session = console.access.session(secret)
        assert session is not None
        self.csrf = session.csrf
        self.cookies.set("credits_session", secret)

    def submit(self, path: str, **fields: str) -> Response:
        """Sends a form of one of our pages."""
        return self.post(path, data={"csrf": self.csrf, "key": secrets.token_hex(8)} | fields)
