"""Opens the accounts of a simulated population: money first, then auto-pay, as an administrator would."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from processor.contracts import topics
from processor.domain.messages import (
    AutopaySet,
    AutopaySetData,
    Funded,
    FundedData,
    Licence,
    LicencesSet,
    LicencesSetData,
)
from processor.domain.money import Micros
from processor.simulator.population import tenant_ids
from processor.simulator.usage import Emitted, Plan, utc_now

_encode = msgspec.json.Encoder().encode


LICENCES: Final = [
    Licence(capability="MCOMEETADD", country="US", count=1),
    Licence(capability="MCOPSTN5", country="US", count=1),
]
"""Few enough that their minutes are soon used up and everybody sees credits pay."""

LICENSED_BEFORE: Final = timedelta(days=1)
"""The first calls are reported right after the opening and began before it."""


class Opening(Struct, frozen=True, kw_only=True):
    """How each account starts. The daily cap is far above a real one: a demo spends a month in a minute."""

    funds_micros: Micros = 50_000_000
    payment_micros: Micros = 50_000_000
    trigger_micros: Micros = 20_000_000
    max_per_day: int | None = 10_000
    max_units: int | None = None
    payment_method_ref: str = "card-simulated"


def openings(plan: Plan, opening: Opening, clock: Callable[[], datetime] = utc_now) -> Iterator[Emitted]:
    """Yields three account commands per tenant; their ids repeat in a run, so sending them again changes nothing."""
    source = f"/telephony-simulator/{plan.run}/accounts"
    for tenant in tenant_ids(plan.tenants):
        now = clock()
        fund = Funded(
            specversion="1.0",
            id=f"fund-{tenant}",
            source=source,
            subject=tenant,
            time=now,
            data=FundedData(
                tenant_id=tenant,
                amount_micros=opening.funds_micros,
                currency=plan.currency,
                purchased_at=now,
                payment_reference=f"opening-{plan.run}",
            ),
        )
        autopay = AutopaySet(
            specversion="1.0",
            id=f"autopay-{tenant}",
            source=source,
            subject=tenant,
            time=now,
            data=AutopaySetData(
                tenant_id=tenant,
                enabled=True,
                payment_amount_micros=opening.payment_micros,
                trigger_micros=opening.trigger_micros,
                currency=plan.currency,
                payment_method_ref=opening.payment_method_ref,
                max_per_day=opening.max_per_day,
                max_units=opening.max_units,
            ),
        )
        licences = LicencesSet(
            specversion="1.0",
            id=f"licences-{tenant}",
            source=source,
            subject=tenant,
            time=now,
            data=LicencesSetData(tenant_id=tenant, licences=LICENCES, effective_at=now - LICENSED_BEFORE),
        )
        key = tenant.encode()
        yield Emitted(topics.ACCOUNT_COMMANDS, key, _encode(licences), True)
        yield Emitted(topics.ACCOUNT_COMMANDS, key, _encode(fund), True)
        yield Emitted(topics.ACCOUNT_COMMANDS, key, _encode(autopay), True)
