"""The same job as a plain Faust application, written the way its tutorial writes an agent with tables.

It drops repeated events, rates by the longest prefix, debits the tenant's balance in a table, writes a ledger record
and asks for a recharge. It validates less than the meter and keeps no lots; at-least-once is all it promises.
"""

import logging
import os
import sys

import uvloop

uvloop.install()  # the worker's own `-L uvloop` changes nothing when it is started with app.main()
import faust  # noqa: E402
from rates import Rates  # noqa: E402

PARTITIONS = 8
TRIGGER_MICROS = 20_000_000
PAYMENT_MICROS = 50_000_000


class CallData(faust.Record):
    tenant_id: str
    callee: str
    connected_ms: int


class Call(faust.Record, serializer="json"):
    id: str
    source: str
    data: CallData


class ResultData(faust.Record):
    recharge_id: str
    tenant_id: str
    amount_micros: int


class Result(faust.Record, serializer="json"):
    data: ResultData


class Entry(faust.Record, serializer="json"):
    event_id: str
    tenant_id: str
    amount_micros: int
    balance_micros: int


class RechargeRequest(faust.Record, serializer="json"):
    recharge_id: str
    tenant_id: str
    amount_micros: int
    caused_by: str


class Account(faust.Record, serializer="json"):
    balance_micros: int = 0
    sequence: int = 0
    in_flight: bool = False


app = faust.App(
    "faust-agent",
    broker=f"kafka://{os.environ['CREDITS_BROKERS']}",
    store="memory://",
    datadir=os.environ["CREDITS_DATA_DIR"],
    consumer_auto_offset_reset="earliest",
    producer_linger=0.02,
    producer_max_batch_size=256 * 1024,
    broker_check_crcs=False,
    topic_partitions=PARTITIONS,
    topic_replication_factor=1,
    table_standby_replicas=0,
    web_enabled=False,
)
calls = app.topic("usage.call.v1", key_type=str, value_type=Call, partitions=PARTITIONS)
results = app.topic("recharge.results.v1", key_type=str, value_type=Result, partitions=PARTITIONS)
ledger = app.topic("ledger.v1", key_type=str, value_type=Entry, partitions=PARTITIONS)
commands = app.topic("recharge.commands.v1", key_type=str, value_type=RechargeRequest, partitions=PARTITIONS)
accounts = app.Table("accounts", key_type=str, value_type=Account, default=Account, partitions=PARTITIONS)
seen = app.Table("seen", key_type=str, default=bool, partitions=PARTITIONS)
rates = Rates()


@app.agent(calls)
async def rate(stream):
    async for call in stream:
        identity = f"{call.source} {call.id}"
        if seen[identity]:
            continue
        seen[identity] = True
        tenant = call.data.tenant_id
        cost = rates.cost(call.data.callee, call.data.connected_ms)
        account = accounts[tenant]
        account.balance_micros -= cost
        await ledger.send(key=tenant, value=Entry(call.id, tenant, -cost, account.balance_micros))
        if account.balance_micros <= TRIGGER_MICROS and not account.in_flight:
            account.sequence += 1
            account.in_flight = True
            request = RechargeRequest(f"{tenant}:{account.sequence}", tenant, PAYMENT_MICROS, call.id)
            await commands.send(key=tenant, value=request)
        accounts[tenant] = account


@app.agent(results)
async def credit(stream):
    async for result in stream:
        account = accounts[result.data.tenant_id]
        if account.in_flight and result.data.recharge_id == f"{result.data.tenant_id}:{account.sequence}":
            account.balance_micros += result.data.amount_micros
            account.in_flight = False
            accounts[result.data.tenant_id] = account


if __name__ == "__main__":
    for name in ("aiokafka", "faust", "mode"):  # else a debug record is built for every message and printed nowhere
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]
    app.main()
