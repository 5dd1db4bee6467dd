"""The names of the topics; `schemas/asyncapi.yaml` describes them, a test holds the two together."""

from typing import Final

USAGE_CALL: Final = "usage.call.v1"
USAGE_CONFERENCE: Final = "usage.conference.v1"
ACCOUNT_COMMANDS: Final = "account.commands.v1"
RECHARGE_RESULTS: Final = "recharge.results.v1"
USAGE_REROUTED: Final = "usage.rerouted.v1"

RECHARGE_COMMANDS: Final = "recharge.commands.v1"
LEDGER: Final = "ledger.v1"
NOTIFICATIONS: Final = "notifications.v1"
ACCOUNT_STATE: Final = "account.state.v1"
EVENT_IDS: Final = "event.ids.v1"
USER_POOLS: Final = "user.pools.v1"
DEAD_LETTERS: Final = "dead.letters.v1"

INPUTS: Final = (USAGE_CALL, USAGE_CONFERENCE, ACCOUNT_COMMANDS, RECHARGE_RESULTS, USAGE_REROUTED)
"""What a worker consumes; partition `p` of all of them has one owner."""

OUTPUTS: Final = (RECHARGE_COMMANDS, LEDGER, NOTIFICATIONS, ACCOUNT_STATE, EVENT_IDS, USER_POOLS, DEAD_LETTERS)
"""What a worker writes, besides rerouted usage, in one transaction per cycle."""

ALL: Final = INPUTS + OUTPUTS
