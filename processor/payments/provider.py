"""What the payment worker needs from a payment provider: one idempotent call."""

from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from processor.domain.money import Micros

Status = Literal["succeeded", "declined", "failed"]


class ProviderTimeout(Exception):  # noqa: N818 - a fact about the provider, not a failure of ours
    """The provider did not answer in time: nobody knows whether it charged. Ask again with the same key."""


class Charge(Struct, frozen=True, kw_only=True):
    """One payment to be taken. `recharge_id` is the provider's idempotency key; the amount is in micros."""

    recharge_id: str
    tenant_id: str
    amount_micros: Micros
    currency: str
    payment_method_ref: str


class Decision(Struct, frozen=True, kw_only=True):
    """The provider's final answer; asked again with the same key it gives the same one, `decided_at` included."""

    status: Status
    decided_at: datetime
    reference: str | None = None
    reason_code: str | None = None
    retryable: bool = False


class PaymentProvider(Protocol):
    """A payment provider. Its calls come from several threads at once."""

    @property
    def name(self) -> str:
        """The provider's name in results: part of the event's source."""

    def charge(self, charge: Charge) -> Decision:
        """Charges at most once per `recharge_id`, whatever happens to the caller.

        Raises `ProviderTimeout` when the answer is unknown; any other exception stops the worker.
        """
