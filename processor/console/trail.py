"""Says what somebody did through the console, and what became of it: an audit entry in the reader's language."""

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from processor.console.access import COMMAND_LINE
from processor.console.explain import named
from processor.console.queries import Document, Outcome, iso
from processor.console.said import SAID, said_of_rejection
from processor.console.scope import Scope
from processor.console.signin import LOCAL_OPERATOR
from processor.console.text import N_, Text

ACTIONS: Final[dict[str, str]] = {
    "credits.funded.v1": N_("Add funds"),
    "credits.autopay.set.v1": N_("Auto-pay settings"),
    "credits.licences.set.v1": N_("Set licences"),
    "credits.adjusted.v1": N_("Adjust the balance"),
    "credits.recharge.reset.v1": N_("Reset auto-pay"),
    "signed_in": N_("Signed in"),
    "sign_in_failed": N_("Sign-in failed"),
    "signed_out": N_("Signed out"),
    "token_added": N_("Token added"),
    "token_revoked": N_("Token revoked"),
    "refused": N_("Not allowed"),
}
"""What the actions of audit entries are called."""

ROLES: Final[dict[str, str]] = {
    "viewer": N_("viewer"),
    "billing-admin": N_("billing admin"),
    "operator": N_("operator"),
}

_ACTORS: Final[dict[str, str]] = {
    "": N_("unknown"),
    COMMAND_LINE: N_("command line"),
    LOCAL_OPERATOR.name: N_("local operator"),
}
"""Who is not a person with a name."""


class Line(NamedTuple):
    """One audit entry in words; `revision` is the ledger entry that it led to."""

    at: str
    actor: str
    role: str
    tenant: str
    action: str
    details: tuple[str, ...]
    result: str
    revision: int | None


def line(entry: Document, outcome: Outcome | None, within: Scope, text: Text) -> Line:
    """Words an audit entry; `outcome` is of the command that it is about, `within` the tenant."""
    action = entry["action"]
    details = json.loads(entry["details"]) if entry["details"] else {}
    return Line(
        at=iso(entry["at_ms"]),
        actor=named(_ACTORS, entry["actor"], text),
        role=named(ROLES, entry["role"], text),
        tenant=within.tenant,
        action=named(ACTIONS, action, text),
        details=tuple(_details(action, details, within, text)),
        result=_result(outcome, text) if entry["command_id"] else "",
        revision=outcome.revision if outcome is not None else None,
    )


def _details(action: str, details: Document, within: Scope, text: Text) -> Iterator[str]:
    match action:
        case "credits.funded.v1":
            yield text.money(details["amount_micros"], details["currency"])
            if "payment_reference" in details:
                yield text.say(N_("Reference: %(reference)s."), reference=details["payment_reference"])
        case "credits.autopay.set.v1" if details["enabled"]:
            yield text.say(
                N_("%(payment)s when the balance falls to %(trigger)s."),
                payment=text.money(details["payment_amount_micros"], details["currency"]),
                trigger=text.money(details["trigger_micros"], details["currency"]),
            )
        case "credits.autopay.set.v1":
            yield text.say(N_("Auto-pay is off."))
        case "credits.licences.set.v1":
            for held in details["licences"]:
                yield text.say(
                    N_("%(count)s of %(plan)s, %(country)s."),
                    count=text.number(held["count"]),
                    plan=held["capability"],
                    country=text.country(held["country"]),
                )
        case "credits.adjusted.v1":
            yield text.money(details["amount_micros"], within.currency)
            yield text.say(N_("Reason: %(reason)s"), reason=details["reason"])
        case "refused":
            yield text.say(N_("It needs the role %(role)s."), role=named(ROLES, details["needs"], text))
        case "sign_in_failed":
            yield text.say(N_("From the address %(address)s."), address=details["address"])
        case "token_added" | "token_revoked":
            yield text.say(N_("Name: %(name)s"), name=details["name"])


def _result(outcome: Outcome | None, text: Text) -> str:
    if outcome is None:
        return text.say(N_("Not known"))
    if outcome.status == "applied":
        return text.say(N_("Done"))
    return text.say(SAID[said_of_rejection(outcome.reason)].text)
