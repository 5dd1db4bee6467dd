"""What a page says after a change: one of a closed set of sentences, so an address can put no words into our mouth."""

from typing import Final, NamedTuple

from processor.console.answers import Command
from processor.console.text import N_


class Said(NamedTuple):
    """A sentence and whether it is good news."""

    text: str
    good: bool


SAID: Final = {
    "funded": Said(N_("The funds were added."), True),
    "saved": Said(N_("The auto-pay settings were saved."), True),
    "licences_set": Said(N_("The licences were saved."), True),
    "adjusted": Said(N_("The balance was adjusted."), True),
    "reset": Said(N_("Auto-pay was reset."), True),
    "pending": Said(N_("The change is stored and will be made in a moment."), True),
    "not_an_amount": Said(N_("That is not an amount. Write it like 50 or 50.25."), False),
    "below_minimum": Said(N_("The amount is below the smallest payment. Nothing was changed."), False),
    "above_maximum": Said(N_("The amount is above the largest payment. Nothing was changed."), False),
    "negative": Said(N_("The amount must be positive. Nothing was changed."), False),
    "zero": Said(N_("An adjustment of zero changes nothing."), False),
    "no_reason": Said(N_("An adjustment needs a reason. Nothing was changed."), False),
    "not_a_licence": Said(
        N_("A licence needs a plan, a country like US and a whole number. Nothing was changed."), False
    ),
    "too_many_changes": Said(N_("The licences were changed too often lately. Nothing was changed."), False),
    "currency_changed": Said(N_("The account is kept in another currency. Nothing was changed."), False),
    "unknown_tenant": Said(N_("Nothing was ever funded, set or used under this account. Nothing was changed."), False),
    "in_future": Said(N_("The purchase lies in the future: check the clocks. Nothing was changed."), False),
    "too_old": Said(N_("Newer licences have been in force for too long. Nothing was changed."), False),
    "rejected": Said(N_("The change was refused. Nothing was changed."), False),
}

PROBLEMS: Final = {
    "unauthorized": N_("You are not signed in, or your sign-in has ended. Sign in again."),
    "forbidden": N_("Your role does not allow this. Ask an operator."),
    "not_found": N_("There is nothing here that you may see. Check the address, or ask an operator."),
    "method_not_allowed": N_("This address only takes a form. Begin again from the accounts."),
    "bad_request": N_("The console could not read what your browser sent. Go back and try again."),
    "request_entity_too_large": N_("That was more than a form may hold. Nothing was changed."),
    "invalid_request": N_("Something in the address or in the form is missing or wrong. Go back and correct it."),
    "key_reused": N_("This form was sent before with other values. Open the page again to make another change."),
    "not_stored": N_(
        "The meter cannot be reached, so the change may be late. Go back and send the form again: it counts once."
    ),
    "database_unavailable": N_("The console's database does not answer just now. Try again in a moment."),
    "internal_error": N_("Something is wrong with the console itself. Its log says what; tell whoever runs it."),
    "csrf": N_("The form is from an earlier sign-in or from elsewhere. Nothing was changed. Open the page again."),
    "oidc_unreachable": N_("The sign-in service does not answer properly. Try again later, or sign in with a token."),
    "oidc_wrong_issuer": N_("The sign-in service has another name than the one set here. An operator must correct it."),
    "oidc_state": N_("This sign-in was begun in another browser, or too long ago. Begin again from the sign-in page."),
    "oidc_token": N_("The sign-in service's answer was not meant for this console, or was too old. Begin again."),
    "oidc_refused": N_("The sign-in service did not let you in. Begin again from the sign-in page."),
    "oidc_no_name": N_("The sign-in service did not say who you are. An operator must correct the claim of the name."),
    "oidc_no_role": N_("You are known, but have no role in this console. Ask an operator to give you one."),
    "oidc_no_tenant": N_("You are known, but no tenant is assigned to you. Ask an operator to assign one."),
    "oidc_no_logout": N_("The sign-in service has no page to sign out. You are signed out of this console."),
}
"""What a page says of a problem, by code: all of them but `signed_out`, for which there is the sign-in page."""


def said_of_problem(code: str) -> str:
    """Names the sentence for a person; what only HTTP itself knows is something that could not be read."""
    return PROBLEMS.get(code, PROBLEMS["bad_request"])


def said_of_rejection(reason: str | None) -> str:
    """Names the sentence about why the meter refused a command."""
    return reason if reason in SAID else "rejected"


def said_of(outcome: Command, done: str) -> str:
    """Names the sentence about what became of a command."""
    if outcome.status == "rejected":
        return said_of_rejection(outcome.reason)
    return done if outcome.status == "applied" else "pending"
