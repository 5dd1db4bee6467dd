"""A console's read model, filled by the real domain without a broker."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Engine

from processor.console.database import connect
from processor.console.readmodel import ReadModel
from processor.console.records import FOLLOWED, Record, changes_of
from processor.contracts import outputs, topics
from processor.domain.account import Account
from processor.domain.messages import Message
from processor.domain.metering import apply
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
        self.tariff = builders.tariff()
        self.now = builders.NOW

    def apply(self, message: Message) -> list[Record]:
        """Applies a message as the meter would and returns the records it leaves, unstored."""
        tenant = message.data.tenant_id
        account = self.accounts.setdefault(tenant, Account(tenant_id=tenant, currency="USD"))
        outcome = apply(account, message, self.tariff, self.now)
        records = [self._record(topics.LEDGER, outputs.entry_record(entry)) for entry in outcome.entries]
        records += [
            self._record(topics.NOTIFICATIONS, outputs.notice_record(told, self.now)) for told in outcome.notices
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


def sqlite_world(path: object) -> ConsoleWorld:
    return ConsoleWorld(connect(f"sqlite:///{path}"))


def ms(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1000)
