"""What people ask the meter for: the bodies of commands, and the `data` of the messages that they become.

Only the form is checked here. Whether the money moves is the meter's decision; it answers with a reason.
"""

import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Protocol

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from processor.console.queries import Document
from processor.domain.money import MAX_MICROS

Money = Annotated[int, Field(ge=-MAX_MICROS, le=MAX_MICROS, strict=True, description="Micros of the major unit.")]
Text = Annotated[str, Field(min_length=1, max_length=256)]
Currency = Annotated[str | None, Field(pattern="^[A-Z]{3}$", description="ISO 4217; the account's unless given.")]


def written_out(given: object) -> object:
    """Refuses numbers, which pydantic would take for seconds since 1970. Raises `ValueError`."""
    if not isinstance(given, str) or not re.match(r"\d{4}-\d\d-\d\d", given):
        raise ValueError("write a time as in 2026-03-15T12:00:00Z")
    return given


Moment = Annotated[AwareDatetime, BeforeValidator(written_out)]
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Times beyond these are mistakes, and too near to where arithmetic with dates ends."""
Time = Annotated[Moment, Field(ge=EARLIEST, lt=LATEST)]
Count = Annotated[int | None, Field(ge=1, le=1_000_000, strict=True)]


class Asker(Protocol):
    """Who asks, about which account."""

    @property
    def name(self) -> str:
        """The person."""

    @property
    def currency(self) -> str:
        """The account's, or the default for an account that does not exist yet."""

    @property
    def account(self) -> Document:
        """The account; empty when it does not exist yet."""


class Body(BaseModel, ABC):
    """The body of a command."""

    model_config = ConfigDict(extra="forbid")

    @abstractmethod
    def data(self, asker: Asker) -> dict[str, Any]:
        """Returns the data of the message."""


class FundRequest(Body):
    """Add funds once."""

    amount_micros: Money
    currency: Currency = None
    payment_reference: Annotated[Text | None, Field(description="Its number in your books.")] = None

    def data(self, asker: Asker) -> dict[str, Any]:
        """Returns the data of `credits.funded.v1`."""
        data: dict[str, Any] = {"amount_micros": self.amount_micros, "currency": self.currency or asker.currency}
        if self.payment_reference is not None:
            data["payment_reference"] = self.payment_reference
        return data


class AutopayRequest(Body):
    """The auto-pay settings, as a whole."""

    enabled: StrictBool
    payment_amount_micros: Annotated[Money, Field(description="Added with every payment, in micros.")]
    trigger_micros: Annotated[Money, Field(description='"When the balance falls to", in micros.')]
    currency: Currency = None
    payment_method_ref: Annotated[Text | None, Field(description="The provider's reference of the card.")] = None
    max_per_day: Count = None
    max_per_month_micros: Money | None = None
    max_units: Count = None

    def data(self, asker: Asker) -> dict[str, Any]:
        """Returns the data of `credits.autopay.set.v1`; a card that is not named stays."""
        present = asker.account.get("autopay") or {}
        card = self.payment_method_ref or present.get("payment_method_ref") or "default"
        data = self.model_dump(exclude_none=True)
        return {**data, "currency": self.currency or asker.currency, "payment_method_ref": card}


class Licence(BaseModel):
    """How many licences of one plan there are in one country."""

    model_config = ConfigDict(extra="forbid")

    capability: Text
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]
    count: Annotated[int, Field(ge=0, le=10_000_000, strict=True)]


class LicencesRequest(Body):
    """All licences of a tenant; what is not named is gone."""

    licences: Annotated[list[Licence], Field(max_length=1000)]
    effective_at: Annotated[Time | None, Field(description="Now unless given.")] = None

    def data(self, asker: Asker) -> dict[str, Any]:
        """Returns the data of `credits.licences.set.v1`."""
        del asker
        data: dict[str, Any] = {"licences": [licence.model_dump() for licence in self.licences]}
        return data if self.effective_at is None else {**data, "effective_at": rfc3339(self.effective_at)}


class AdjustRequest(Body):
    """Correct a balance."""

    amount_micros: Money
    reason: Text

    def data(self, asker: Asker) -> dict[str, Any]:
        """Returns the data of `credits.adjusted.v1`."""
        return {"amount_micros": self.amount_micros, "reason": self.reason, "operator": asker.name}


class ResetRequest(Body):
    """End a pause or a suspension of auto-pay."""

    def data(self, asker: Asker) -> dict[str, Any]:
        """Returns the data of `credits.recharge.reset.v1`."""
        return {"operator": asker.name}


def rfc3339(at: datetime) -> str:
    """Writes a time in UTC."""
    return at.astimezone(UTC).isoformat()
