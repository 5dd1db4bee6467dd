"""What the payment worker needs from a payment provider: one idempotent call."""

from datetime import datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct

from processor.domain.money import Micros

Status = Literal["succeeded", "declined", "failed"]


class ProviderTimeout(Exception):  # noqa: N818 - a fact about the provider, not a failure of ours
    """The provider gave no final answer: nobody knows whether it charged. Ask again with the same key."""


class ProviderMisconfigured(Exception):  # noqa: N818
    """The provider refuses this worker, not this payment: asking again cannot help until a person mends it.

    Operator action: the message says what to mend. Nothing is lost: commands without a result are read again.
    """


class Charge(Struct, frozen=True, kw_only=True):
    """One payment to be taken. `recharge_id` is the provider's idempotency key; the amount is in micros.

    `attempt` and `requested_at` are the command's: the meter asks again, later, when it hears nothing. `asked_at` is
    when this worker's inbox first asked the provider under this id, None if never; another worker, or this one before
    it lost its disk, may have asked earlier.
    """

    recharge_id: str
    tenant_id: str
    amount_micros: Micros
    currency: str
    payment_method_ref: str
    requested_at: datetime
    attempt: int = 1
    asked_at: datetime | None = None

    @property
    def known_since(self) -> datetime:
        """The oldest time known of this charge; for the first attempt, nobody can have charged it before."""
        return self.requested_at if self.asked_at is None else min(self.requested_at, self.asked_at)

    def may_be_forgotten(self, key_life: timedelta, now: datetime) -> bool:
        """Tells whether it may have been charged under a key that the provider, keeping keys so long, has forgotten.

        Then a provider must look the payment up before it charges. An inbox alone cannot tell: it may be a new one.
        """
        return self.attempt > 1 or now - self.known_since > key_life


class Decision(Struct, frozen=True, kw_only=True):
    """The provider's final answer; asked again with the same key it gives the same one, `decided_at` included.

    `succeeded` took the money; `declined` is the card's no; `failed` could not be tried, and took nothing.
    `card_fingerprint` identifies the card behind the payment method, where the provider tells; it is not published.
    """

    status: Status
    decided_at: datetime
    reference: str | None = None
    reason_code: str | None = None
    retryable: bool = False
    card_fingerprint: str | None = None


class PaymentProvider(Protocol):
    """A payment provider. Its calls come from several threads at once."""

    @property
    def name(self) -> str:
        """The provider's name in results: part of the event's source."""

    def charge(self, charge: Charge) -> Decision:
        """Charges at most once per `recharge_id`, whatever happens to the caller; returns within seconds.

        Raises `ProviderTimeout` when the outcome is unknown, `ProviderMisconfigured` when a person must act; any
        other exception stops the worker as a fault of ours.
        """

    def close(self) -> None:
        """Lets go of connections and files."""
