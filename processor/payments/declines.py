"""Which declines may pass by themselves: the codes of https://docs.stripe.com/declines/codes, judged.

What is not listed is not worth another try until the tenant does something about the card. Card networks fine
merchants who keep retrying those.
"""

from typing import Final

RETRYABLE: Final = frozenset(
    {
        "approve_with_id",
        "card_velocity_exceeded",
        "insufficient_funds",
        "issuer_not_available",
        "processing_error",
        "reenter_transaction",
        "try_again_later",
        "withdrawal_count_limit_exceeded",
    }
)


def is_retryable(code: str | None) -> bool:
    """Tells whether the same card may say yes later without anybody's doing."""
    return code in RETRYABLE
