"""The job as a Quix Streams dataframe: state in RocksDB with a changelog, exactly-once, a checkpoint every 100 ms.

Calls and payments are one concatenated dataframe, so that both see the state of their tenant.
"""

import os

from quixstreams import Application, State
from rates import Rates
from records import (
    COMMANDS,
    LEDGER,
    RESULTS,
    USAGE,
    Account,
    Call,
    Entry,
    RechargeRequest,
    Result,
    decode_call,
    decode_result,
    dump_account,
    encode,
    load_account,
)

ACCOUNT = b"account"
rates = Rates()


def settle(message: Call | Result, state: State) -> tuple[Entry, RechargeRequest | None] | None:
    stored = state.get_bytes(ACCOUNT)
    account = Account() if stored is None else load_account(stored)
    if isinstance(message, Result):
        if account.credit(message.data):
            state.set_bytes(ACCOUNT, dump_account(account))
        return None
    identity = f"{message.source} {message.id}".encode()
    if state.exists(identity):
        return None
    state.set_bytes(identity, b"1")
    written = account.debit(message, rates.cost(message.data.callee, message.data.connected_ms))
    state.set_bytes(ACCOUNT, dump_account(account))
    return written


app = Application(
    broker_address=os.environ["CREDITS_BROKERS"],
    consumer_group="quix-dataframe",
    state_dir=os.environ["CREDITS_DATA_DIR"],
    auto_offset_reset="earliest",
    processing_guarantee="exactly-once",
    commit_interval=0.1,
    consumer_poll_timeout=0.05,
    producer_extra_config={"compression.type": "lz4", "linger.ms": 20, "queue.buffering.max.messages": 1_000_000},
    consumer_extra_config={"fetch.queue.backoff.ms": 5},
    loglevel="WARNING",
)
raw_keys_and_values = {"key_deserializer": "bytes", "value_deserializer": "bytes"}
calls = app.dataframe(app.topic(USAGE, **raw_keys_and_values)).apply(decode_call)
payments = app.dataframe(app.topic(RESULTS, **raw_keys_and_values)).apply(decode_result)
as_bytes = {"key_serializer": "bytes", "value_serializer": "bytes"}
written = calls.concat(payments).apply(settle, stateful=True).filter(lambda entry_and_request: entry_and_request)
written.apply(lambda written: encode(written[0])).to_topic(app.topic(LEDGER, **as_bytes))
requests = written.filter(lambda written: written[1] is not None)
requests.apply(lambda written: encode(written[1])).to_topic(app.topic(COMMANDS, **as_bytes))

if __name__ == "__main__":
    app.run()
