"""What the API answers. Documents carry every field that the meter publishes; the named ones are always there."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from processor.console.queries import Outcome


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Page(BaseModel):
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last one.")


class Status(BaseModel):
    """How far the console is behind the meter."""

    behind_records: int | None = Field(description="Committed records not yet shown; null until it is known.")
    stored_records: int = Field(description="Records stored since the console started.")


class AccountSummary(BaseModel):
    """One line of the list of accounts."""

    tenant_id: str
    balance_micros: int
    currency: str
    revision: int
    next_expiry: str | None
    autopay_enabled: bool
    autopay_suspended: bool


class Accounts(_Page):
    """A page of accounts."""

    items: list[AccountSummary]


class Account(_Document):
    """The account as published to `account.state.v1`."""

    tenant_id: str
    currency: str
    revision: int
    balance_micros: int


class Entry(_Document):
    """The ledger entry as published to `ledger.v1`."""

    entry_id: str
    tenant_id: str
    revision: int
    kind: str
    amount_micros: int
    balance_micros: int
    currency: str


class Ledger(_Page):
    """A page of ledger entries."""

    items: list[Entry]


class Notice(_Document):
    """What people were told, as published to `notifications.v1`."""

    notice_id: str
    kind: str
    at: str


class Notices(_Page):
    """A page of notices."""

    items: list[Notice]


class Recharges(Notices):
    """A page of what became of automatic payments, and where they stand."""

    state: dict[str, Any]


class Items(BaseModel):
    """A short list."""

    items: list[dict[str, Any]]


class Pools(Items):
    """Minutes used by pool and month, and the licences by the time from which they hold."""

    licences: list[dict[str, Any]]


class UserPools(_Document):
    """Minutes that one user has used, as published to `user.pools.v1`."""

    user_id: str
    pools: list[dict[str, Any]]


class Users(_Page):
    """A page of users who share no pool."""

    items: list[UserPools]


class AuditEntry(BaseModel):
    """Who did what through this console."""

    audit_id: int
    at_ms: int = Field(description="UTC epoch milliseconds.")
    actor: str = Field(description="Name of the token or person; empty for somebody unknown.")
    role: str
    tenant_id: str = Field(description="Empty when it is about no account.")
    action: str = Field(
        description="Type of a command, or signed_in, sign_in_failed, signed_out, token_added, token_revoked, refused."
    )
    command_id: str
    details: str = Field(description="JSON: what was asked for, or why not.")


class Audit(_Page):
    """A page of audit entries."""

    items: list[AuditEntry]


class Command(BaseModel):
    """What became of a command."""

    command_id: str
    status: Literal["pending", "applied", "rejected"]
    reason: str | None = None
    revision: int | None = Field(default=None, description="The ledger entry it led to, where there is one.")


def command(command_id: str, outcome: Outcome | None) -> Command:
    """Describes an outcome; none yet is `pending`."""
    if outcome is None:
        return Command(command_id=command_id, status="pending")
    return Command(command_id=command_id, status=outcome.status, reason=outcome.reason, revision=outcome.revision)
