"""Says what a notice is about in one sentence: its amounts, its pool, and why."""

from typing import Final

from processor.console.naming import pool_name
from processor.console.queries import Document
from processor.console.said import SAID
from processor.console.text import N_, Text
from processor.domain.account import purchase_of

NOTICES: Final[dict[str, str]] = {
    "recharge.succeeded": N_("Automatic payment succeeded"),
    "recharge.failed": N_("Automatic payment failed"),
    "recharge.unknown": N_("No answer to an automatic payment yet"),
    "autopay.suspended": N_("Auto-pay is suspended"),
    "autopay.blocked": N_("Auto-pay is held back by a limit"),
    "balance.zero": N_("The balance reached zero"),
    "balance.low": N_("The balance is low"),
    "pool.threshold": N_("Most of a pool of minutes is used"),
    "lot.expiring": N_("Funds will expire soon"),
    "lot.expired": N_("Funds have expired"),
    "command.rejected": N_("A change was refused"),
}
"""What the notices are called."""

_BANK: Final = N_("The bank declined the card. Ask the bank, or use another card.")
_LATER: Final = N_("The bank could not decide just now.")
_DETAILS: Final = N_("The card's details are wrong. Enter the card again.")
_REQUEST: Final = N_("The payment provider did not accept the request. An operator must look into it.")

DECLINES: Final[dict[str, str]] = {
    "approve_with_id": _LATER,
    "issuer_not_available": _LATER,
    "processing_error": _LATER,
    "reenter_transaction": _LATER,
    "try_again_later": _LATER,
    "call_issuer": _BANK,
    "card_declined": _BANK,
    "do_not_honor": _BANK,
    "fraudulent": _BANK,
    "generic_decline": _BANK,
    "lost_card": _BANK,
    "pickup_card": _BANK,
    "restricted_card": _BANK,
    "stolen_card": _BANK,
    "transaction_not_allowed": _BANK,
    "incorrect_cvc": _DETAILS,
    "incorrect_number": _DETAILS,
    "invalid_expiry_month": _DETAILS,
    "invalid_expiry_year": _DETAILS,
    "invalid_number": _DETAILS,
    "amount_not_chargeable": N_("The payment provider does not charge such an amount."),
    "authentication_required": N_("The bank wants the holder of the card to confirm the payment."),
    "canceled": N_("The payment was cancelled."),
    "card_changed": N_("Another card was charged than the last time."),
    "card_velocity_exceeded": N_("The limit of the card is reached."),
    "withdrawal_count_limit_exceeded": N_("The limit of the card is reached."),
    "expired_card": N_("The card has expired."),
    "insufficient_funds": N_("There was not enough money for the card."),
    "payment_method_ref_invalid": N_("The payment provider does not know the payment method."),
    "resource_missing": N_("The payment provider does not know the payment method."),
    "idempotency_key_reused": _REQUEST,
    "invalid_request": _REQUEST,
}
"""Why a payment failed, by the provider's code; a code that is not here is shown as it is."""

GUARDS: Final[dict[str, str]] = {
    "autopay_off": N_("Auto-pay is off, so nothing is paid."),
    "suspended": N_("Payments failed too often in a row. Save new settings or add funds to resume."),
    "backing_off": N_("The last payment failed; auto-pay waits before it tries again."),
    "below_minimum": N_("The payment amount is below the smallest payment. Save a larger one."),
    "daily_count_cap": N_("The payments allowed for one day are used up."),
    "monthly_amount_cap": N_("The next payment would exceed the sum allowed for one month."),
    "burst": N_("Many payments were made within a short time. Nothing is held back; check the usage."),
}
"""Why no payment is made, or why one should look."""


def notice_sentence(notice: Document, text: Text) -> str:
    """Says what a notice is about; empty when its name says it all."""
    kind, currency, reason = notice["kind"], notice["currency"], notice.get("reason")
    amount = text.money(notice["amount_micros"], currency) if notice.get("amount_micros") is not None else ""
    balance = text.money(notice["balance_micros"], currency)
    match kind:
        case "recharge.succeeded":
            told = text.say(
                N_("%(amount)s were paid; the balance was %(balance)s then."), amount=amount, balance=balance
            )
            return f"{told} {_why(reason, text)}".rstrip()
        case "recharge.failed":
            told = text.say(N_("%(amount)s were not paid."), amount=amount)
            return f"{told} {_why(reason, text)}".rstrip()
        case "recharge.unknown":
            return text.say(N_("%(amount)s are asked for again; they are paid once at most."), amount=amount)
        case "autopay.suspended" | "autopay.blocked":
            return _guard(reason, text)
        case "balance.low" | "balance.zero":
            told = text.say(N_("The balance was %(balance)s."), balance=balance)
            return f"{told} {_guard(reason, text)}".rstrip()
        case "pool.threshold":
            return text.say(
                N_("%(percent)s of the minutes for %(month)s: %(pool)s."),
                percent=text.percent(notice["percent"]),
                month=text.month(notice["month"]),
                pool=pool_name(notice["pool"], text),
            )
        case "lot.expiring" | "lot.expired":
            return _lot(notice, amount, text)
        case "command.rejected":
            return text.say(SAID[reason].text) if reason in SAID else reason or ""
    return ""


def _why(code: str | None, text: Text) -> str:
    if not code:
        return ""
    return text.say(DECLINES[code]) if code in DECLINES else text.say(N_("The provider's reason: %(code)s."), code=code)


def _guard(reason: str | None, text: Text) -> str:
    return text.say(GUARDS[reason]) if reason in GUARDS else reason or ""


def _lot(notice: Document, amount: str, text: Text) -> str:
    purchased_at = purchase_of(notice["lot_id"])
    if purchased_at is None:
        return amount
    return text.say(N_("%(amount)s of the purchase of %(day)s."), amount=amount, day=text.day(purchased_at.date()))
