"""What a page says after a change: one of a closed set of sentences, so an address can put no words into our mouth."""

from typing import Final, NamedTuple

from processor.console.answers import Command
from processor.console.explain import N_


class Said(NamedTuple):
    """A sentence and whether it is good news."""

    text: str
    good: bool


SAID: Final = {
    "funded": Said(N_("The funds were added."), True),
    "saved": Said(N_("The auto-pay settings were saved."), True),
    "pending": Said(N_("The change is stored and will be made in a moment."), True),
    "not_an_amount": Said(N_("That is not an amount. Write it like 50 or 50.25."), False),
    "below_minimum": Said(N_("The amount is below the smallest payment. Nothing was changed."), False),
    "above_maximum": Said(N_("The amount is above the largest payment. Nothing was changed."), False),
    "negative": Said(N_("The amount must be positive. Nothing was changed."), False),
    "currency_changed": Said(N_("The account is kept in another currency. Nothing was changed."), False),
    "rejected": Said(N_("The change was refused. Nothing was changed."), False),
}


def said_of(outcome: Command, done: str) -> str:
    """Names the sentence about what became of a command."""
    if outcome.status == "rejected":
        return outcome.reason if outcome.reason in SAID else "rejected"
    return done if outcome.status == "applied" else "pending"
