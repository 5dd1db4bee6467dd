"""How far the console says it is behind, on a real broker: nothing when it has everything, unknown without a broker."""

import threading
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Producer

from processor.console.follower import Follower
from processor.console.readmodel import ReadModel, open_readmodel
from processor.contracts import outputs
from processor.contracts import topics as names
from processor.domain.account import Account
from processor.domain.metering import apply
from processor.embedded.broker import EmbeddedBroker
from processor.stream import topics as stream_topics
from tests.crash.workers import wait_until
from tests.unit.builders import NOW, funded, tariff

CYCLES = 17


def meter(brokers: str, name: str) -> Callable[[str], None]:
    """Returns what funds a tenant: each time one entry and one account, in a transaction of their own."""
    producer = Producer(
        {"bootstrap.servers": brokers, "transactional.id": name, "partitioner": "murmur2_random", "log_level": 0}
    )
    producer.init_transactions(60)

    def fund(tenant: str) -> None:
        account = Account(tenant_id=tenant, currency="USD")
        (entry,) = apply(account, funded(50, tenant_id=tenant), tariff(), NOW).entries
        producer.begin_transaction()
        producer.produce(names.LEDGER, outputs.entry_record(entry), tenant.encode())
        producer.produce(names.ACCOUNT_STATE, outputs.encode(account), tenant.encode())
        producer.commit_transaction(60)

    return fund


def test_the_lag_is_nothing_when_all_is_stored_and_unknown_while_the_broker_is_away(
    kafka_fetched: None, tmp_path: Path
) -> None:
    with EmbeddedBroker() as broker:
        assert not stream_topics.apply(broker.bootstrap, 2, 1).problems
        model = ReadModel(open_readmodel(f"sqlite:///{tmp_path / 'model.sqlite'}"))
        follower = Follower({"bootstrap.servers": broker.bootstrap, "log_level": 0}, model, 3650)
        following = threading.Thread(target=follower.run)
        following.start()
        try:
            wait_until("nothing is behind in empty topics", lambda: follower.lag.records == 0)
            fund = meter(broker.bootstrap, "before")
            for cycle in range(CYCLES):
                fund(f"tenant-{cycle}")
            wait_until("everything is stored", lambda: follower.lag.stored == 2 * CYCLES)
            wait_until("nothing is behind", lambda: follower.lag.records == 0)
            broker.kill()
            wait_until("the lag is unknown", lambda: follower.lag.records is None)
            broker.restart()
            wait_until("nothing is behind again", lambda: follower.lag.records == 0)
            meter(broker.bootstrap, "after")("another")
            wait_until("the new records are stored", lambda: follower.lag.stored == 2 * CYCLES + 2)
            wait_until("nothing is behind at the end", lambda: follower.lag.records == 0)
        finally:
            follower.stop()
            following.join()
