"""Charges cards through Stripe: one off-session PaymentIntent per recharge, confirmed as it is created.

Stripe answers a repeated idempotency key with the first answer, for at least a day. Four cases need more than the key:

- A key older than that may be forgotten, so when the command is old, or the meter asks again, the customer's intents
  are searched for the recharge id before charging. This worker's inbox alone cannot tell: another may have charged.
- A 5xx is remembered under the key like any answer, so repeating the request alone may repeat the 5xx: the intent is
  looked up by its metadata.
- An intent that is still processing is asked about until it is final; one that a 5xx left unconfirmed is confirmed.
- A declined intent stays open at Stripe: it is cancelled before it counts as declined, or somebody could pay it later
  in the dashboard, and the meter would never hear of it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import stripe

from processor.payments.declines import is_retryable
from processor.payments.minor_units import NotChargeable, minor_units
from processor.payments.provider import Charge, Decision, ProviderMisconfigured, ProviderTimeout

KEY_LIFE: Final = timedelta(hours=23)
"""Stripe keeps idempotency keys for at least 24 hours; an hour is left for clocks that disagree."""
LOOK_BACK: Final = timedelta(days=90)
"""How long before the command at hand an earlier one may have been charged: commands are kept as long."""
TIMEOUT_S: Final = 15.0
"""One request, answer included: Stripe's slowest banks need several seconds."""

OPEN: Final = ("requires_payment_method", "requires_action")
"""What an intent waits for after a decline: another card, or the customer."""

Intent = Mapping[str, Any]
"""A PaymentIntent as Stripe sends it."""


class StripeProvider:
    """Takes payments with one Stripe account. `payment_method_ref` is `cus_…/pm_…`: customer and saved card.

    The card must have been set up for off-session use (`setup_future_usage` or a SetupIntent).
    """

    name = "stripe"

    def __init__(self, api_key: str, *, api_base: str = "https://api.stripe.com", timeout_s: float = TIMEOUT_S) -> None:
        self._http = stripe.RequestsClient(timeout=timeout_s)
        # Repeating is the caller's: it knows when to stop, and the key is the same.
        self._client = stripe.StripeClient(
            api_key, base_addresses={"api": api_base}, http_client=self._http, max_network_retries=0
        )

    def charge(self, charge: Charge) -> Decision:
        """Charges once; see the module for what is done when the answer is lost or late."""
        try:
            return self._charge(charge, datetime.now(UTC))
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            raise ProviderMisconfigured(
                f"Stripe refuses the API key ({error.user_message or error}): it must be valid, and may write and"
                " read payment intents"
            ) from error

    def close(self) -> None:
        """Closes the connections of the calling thread; those of others go with their threads."""
        self._http.close()  # type: ignore[no-untyped-call]

    def _charge(self, charge: Charge, now: datetime) -> Decision:
        customer, _, method = charge.payment_method_ref.partition("/")
        if not customer.startswith("cus_") or not method:
            return Decision(status="failed", decided_at=now, reason_code="payment_method_ref_invalid")
        try:
            amount = minor_units(charge.amount_micros, charge.currency)
        except NotChargeable:
            return Decision(status="failed", decided_at=now, reason_code="amount_not_chargeable")
        try:
            intent = self._finish(charge, self._intent(charge, amount, customer, method, now))
        except stripe.CardError as error:
            said = _error_body(error)
            if not said.get("payment_intent"):
                return _declined(said, now)
            intent = said["payment_intent"]
        except stripe.InvalidRequestError as error:  # of the creation: nothing came into being
            return Decision(status="failed", decided_at=now, reason_code=error.code or "invalid_request")
        if (intent["amount"], intent["currency"]) != (amount, charge.currency.lower()):
            raise ProviderMisconfigured(
                f"Stripe knows {charge.recharge_id} with another amount: this account was used with another meter"
            )
        return _decision(self._close(charge, intent), now)

    def _intent(self, charge: Charge, amount: int, customer: str, method: str, now: datetime) -> Intent:
        """Returns the one intent of the recharge: the existing one, or a new one."""
        if charge.may_be_forgotten(KEY_LIFE, now):
            found = self._find(charge, customer)
            if found is not None:
                return found
        try:
            return self._create(charge, amount, customer, method)
        except (stripe.APIConnectionError, stripe.RateLimitError) as error:
            raise ProviderTimeout(f"{charge.recharge_id}: {type(error).__name__}") from error
        except (stripe.APIError, stripe.IdempotencyError) as error:
            found = self._find(charge, customer)
            if found is None:
                raise ProviderTimeout(f"{charge.recharge_id}: {type(error).__name__}, and no intent") from error
            return found

    def _create(self, charge: Charge, amount: int, customer: str, method: str) -> Intent:
        intent = self._client.v1.payment_intents.create(
            {
                "amount": amount,
                "currency": charge.currency.lower(),
                "customer": customer,
                "payment_method": method,
                "allowed_payment_method_types": ["card"],
                "off_session": True,  # nobody is there to authenticate: declined instead of waiting
                "confirm": True,
                "metadata": {"recharge_id": charge.recharge_id, "tenant_id": charge.tenant_id},
                "expand": ["latest_charge"],
            },
            {"idempotency_key": charge.recharge_id},
        )
        return intent.to_dict()

    def _find(self, charge: Charge, customer: str) -> Intent | None:
        """Looks for the intent of an id among the customer's: the list is current, Stripe's search lags behind."""
        since = charge.known_since - LOOK_BACK
        with _looking_after(charge):
            intents = self._client.v1.payment_intents.list(
                {
                    "customer": customer,
                    "created": {"gte": int(since.timestamp())},
                    "limit": 100,
                    "expand": ["data.latest_charge"],
                }
            )
            for intent in intents.auto_paging_iter():
                found = intent.to_dict()
                if found["metadata"].get("recharge_id") == charge.recharge_id:
                    return found
        return None

    def _finish(self, charge: Charge, intent: Intent) -> Intent:
        """Brings an intent on whose answer may be an old one: confirms what a 5xx left behind, asks again."""
        with _looking_after(charge):
            if intent["status"] == "requires_confirmation":
                return self._client.v1.payment_intents.confirm(
                    intent["id"],
                    {"off_session": True, "expand": ["latest_charge"]},
                    {"idempotency_key": f"{charge.recharge_id}/confirm"},
                ).to_dict()
            if intent["status"] == "processing":
                return self._client.v1.payment_intents.retrieve(intent["id"], {"expand": ["latest_charge"]}).to_dict()
        return intent

    def _close(self, charge: Charge, intent: Intent) -> Intent:
        """Cancels an intent that was declined and returns it as it was, or, when somebody was quicker, as it is."""
        if intent["status"] not in OPEN:
            return intent
        with _looking_after(charge):
            try:
                closed = self._client.v1.payment_intents.cancel(intent["id"], {"cancellation_reason": "abandoned"})
            except stripe.InvalidRequestError as error:
                if error.code != "payment_intent_unexpected_state":
                    raise
                # It is not open any more: it was cancelled before, or paid by hand.
                closed = self._client.v1.payment_intents.retrieve(intent["id"], {"expand": ["latest_charge"]})
        if closed.status in OPEN:
            raise ProviderTimeout(f"{intent['id']} is still {closed.status}")
        return intent if closed.status == "canceled" else closed.to_dict()


@contextmanager
def _looking_after(charge: Charge) -> Iterator[None]:
    """Takes whatever goes wrong with an intent that may exist as no answer: it says nothing about the money."""
    try:
        yield
    except (
        stripe.APIConnectionError,
        stripe.RateLimitError,
        stripe.APIError,
        stripe.IdempotencyError,
        stripe.InvalidRequestError,
    ) as error:
        raise ProviderTimeout(f"{charge.recharge_id}: {type(error).__name__} while looking after it") from error


def _decision(intent: Intent, now: datetime) -> Decision:
    """Reads a final intent; raises `ProviderTimeout` for one that is not final."""
    match intent["status"]:
        case "succeeded":
            charge: Mapping[str, Any] = intent["latest_charge"] or {}
            return Decision(
                status="succeeded",
                decided_at=_at(intent, now),
                reference=intent["id"],
                card_fingerprint=_fingerprint(charge.get("payment_method_details")),
            )
        case "requires_payment_method":
            return _declined({**_failure(intent), "payment_intent": intent}, now)
        case "requires_action":
            return _declined({"code": "authentication_required", "payment_intent": intent}, now)
        case "canceled" if _failure(intent):
            return _declined({**_failure(intent), "payment_intent": intent}, now)
        case "canceled":
            return Decision(
                status="failed", decided_at=_at(intent, now), reference=intent["id"], reason_code="canceled"
            )
        case other:
            raise ProviderTimeout(f"{intent['id']} is {other}")


def _declined(error: Mapping[str, Any], now: datetime) -> Decision:
    """Reads the error of a declined card: the issuer's code where there is one, else Stripe's."""
    code = error.get("decline_code") or error.get("code") or "card_declined"
    intent = error.get("payment_intent") or {}
    return Decision(
        status="declined",
        decided_at=_at(intent, now),
        reference=intent.get("id"),
        reason_code=code,
        retryable=is_retryable(code),
        card_fingerprint=_fingerprint(error.get("payment_method")),
    )


def _failure(intent: Intent) -> Mapping[str, Any]:
    """Returns why an intent was declined, also after Stripe has cleared the error: its last charge tells it, too."""
    charge: Mapping[str, Any] = intent.get("latest_charge") or {}
    if intent.get("last_payment_error") or not charge.get("failure_code"):
        return intent.get("last_payment_error") or {}
    decline: Mapping[str, Any] = charge.get("outcome") or {}
    return {
        "code": charge["failure_code"],
        "decline_code": decline.get("reason"),
        "payment_method": charge.get("payment_method_details"),
    }


def _fingerprint(method: Mapping[str, Any] | None) -> str | None:
    card: Any = (method or {}).get("card")
    return card.get("fingerprint") if card else None


def _error_body(error: stripe.StripeError) -> Mapping[str, Any]:
    body: Any = error.json_body or {}
    return body.get("error") or {}


def _at(intent: Intent, now: datetime) -> datetime:
    """Returns when the intent was created: the same however often the answer is repeated."""
    return datetime.fromtimestamp(intent["created"], UTC) if "created" in intent else now
