"""How far the books of one account may go, so that whatever cannot be refused still fits into the numbers of JSON.

What is published is at most `MAX_MICROS`, and a worker stops rather than publish more. Three things can never be turned
away: usage that has happened, a payment that was taken, and a lot whose time is over. So everything else ends early
enough to leave room for them.

| nobody may | so that there is room for |
| --- | --- |
| owe more than `MAX_DEBT_MICROS` and still be charged | the largest charge of one leg |
| have more than `MAX_BALANCE_MICROS` by funds, adjustments or refunds | the success of the payment in flight |
| be credited more than `MAX_CREDITED_MICROS` in its life | four million payments more, each of the largest |

A lot that expires only takes what its account has. What an account was debited in its life is less than what it was
credited and what it owes.
"""

from typing import Final

from processor.domain.account import Account
from processor.domain.errors import InputRejected
from processor.domain.money import MAX_MICROS, MAX_PAYMENT_MICROS, Micros

MAX_DEBT_MICROS: Final = 3 * 10**15
"""Three thousand million of the major unit. A leg of 400 days, the longest that can be set, at the highest price of a
deck costs less than what this leaves to `MAX_MICROS`."""

MAX_BALANCE_MICROS: Final = MAX_MICROS - MAX_PAYMENT_MICROS
"""One payment is in flight at most, and none is larger than `MAX_PAYMENT_MICROS`."""

MAX_CREDITED_MICROS: Final = 2**62
"""The half of what a 64-bit integer holds."""


def may_receive(account: Account, amount_micros: Micros) -> bool:
    """Tells whether so much may come in that could be refused: by hand, or given back."""
    return (
        account.balance_micros + amount_micros <= MAX_BALANCE_MICROS
        and account.credited_micros + amount_micros <= MAX_CREDITED_MICROS
    )


def may_pay(account: Account, amount_micros: Micros) -> bool:
    """Tells whether the operator may take so much."""
    return account.balance_micros - amount_micros >= -MAX_DEBT_MICROS


def out_of_credit() -> InputRejected:
    """Says that a leg cannot be charged any more: whoever owes so much has to pay first."""
    return InputRejected("balance_limit", "the account owes so much that nothing can be charged to it")


def out_of_room() -> InputRejected:
    """Says that a charge cannot be given back: the account has so much that nothing more may come in."""
    return InputRejected("balance_limit", "the account has so much that nothing can be given back to it")
