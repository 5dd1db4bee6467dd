"""Who may read and write what: the least that each role of the product needs, as `credits topics acls` grants it.

Rights are per topic, so a telephony platform cannot fund an account and a payment worker cannot see who called whom.
"""

from typing import Final, NamedTuple

from processor.contracts import topics

READERS: Final = ("credits-reader", "credits-reading")
"""Groups that nobody joins: librdkafka wants one, and asks for its coordinator, whoever reads."""


class Rights(NamedTuple):
    """What one role may do; what is not named is denied.

    `groups` are names and `transactions` prefixes of transactional ids; `describes` is for seeing how topics are set
    up and how far groups are, without reading a record.
    """

    meaning: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    transactions: tuple[str, ...] = ()
    describes: bool = False


def rights(worker_group: str, payment_group: str) -> dict[str, Rights]:
    """Returns the rights by role; the groups of workers are also the beginnings of their transactional ids."""
    return {
        "telephony": Rights(
            "a platform that reports usage",
            writes=(topics.USAGE_CALL, topics.USAGE_CONFERENCE),
        ),
        "worker": Rights(
            "the meter",
            # The ledger is where the charge is found that a correction takes back.
            reads=(*topics.INPUTS, topics.ACCOUNT_STATE, topics.EVENT_IDS, topics.USER_POOLS, topics.LEDGER),
            writes=(*topics.OUTPUTS, topics.USAGE_REROUTED),
            groups=(worker_group, *READERS),
            transactions=(worker_group,),
            describes=True,
        ),
        "payment-worker": Rights(
            "charges cards",
            reads=(topics.RECHARGE_COMMANDS, topics.RECHARGE_RESULTS),
            writes=(topics.RECHARGE_RESULTS,),
            groups=(payment_group,),
            transactions=(payment_group,),
        ),
        "console": Rights(
            "shows accounts and sends account commands; the command line of the same people",
            reads=(topics.LEDGER, topics.NOTIFICATIONS, topics.ACCOUNT_STATE, topics.USER_POOLS),
            writes=(topics.ACCOUNT_COMMANDS,),
            groups=("credits-console", *READERS),
        ),
        "mailer": Rights(
            "tells people",
            reads=(topics.NOTIFICATIONS,),
            groups=("credits-mailer",),
        ),
        "auditor": Rights(
            "`credits verify`, `credits dead-letters list` and `show`; dead letters hold phone numbers",
            reads=(
                topics.LEDGER,
                topics.NOTIFICATIONS,
                topics.ACCOUNT_STATE,
                topics.RECHARGE_COMMANDS,
                topics.RECHARGE_RESULTS,
                topics.DEAD_LETTERS,
            ),
            groups=READERS,
            describes=True,
        ),
        "replayer": Rights(
            "`credits dead-letters replay`, for the occasion: may write every input, also funds",
            reads=(topics.DEAD_LETTERS,),
            writes=(*topics.INPUTS, topics.DEAD_LETTERS),
            groups=READERS,
            describes=True,
        ),
        "settler": Rights(
            "`credits settle`, for the occasion: may write results of payments, so it can credit accounts",
            reads=(topics.ACCOUNT_STATE,),
            writes=(topics.RECHARGE_RESULTS,),
            groups=READERS,
        ),
        "exporter": Rights("watches lag and topics, reads no record", describes=True),
    }


ROLES: Final = tuple(rights("", ""))
