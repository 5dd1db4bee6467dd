"""`credits licences`: tells the meter which licences a tenant has, for they fill its pools of minutes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from processor.cli.common import brokers_option, id_option, json_option, make_settings, tenant_argument, timeout_option
from processor.domain.pools import CONFERENCING, PLANS

if TYPE_CHECKING:
    from processor.domain.messages import Licence

MINUTES = (*PLANS, CONFERENCING)


class LicenceType(click.ParamType):
    """PLAN:COUNTRY:COUNT, such as MCOPSTN1:DE:25."""

    name = "PLAN:COUNTRY:COUNT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Licence:
        """Reads one licence or says what is wrong with it."""
        from processor.domain.messages import Licence

        plan, _, rest = str(value).partition(":")
        country, _, count = rest.partition(":")
        if plan.upper() not in MINUTES:
            self.fail(f"{plan!r} brings no minutes; these do: {', '.join(MINUTES)}", param, ctx)
        if len(country) != 2 or not country.isalpha() or not country.isascii():
            self.fail(f"{value!r} needs a country of two letters, such as {plan}:US:10", param, ctx)
        if not (count.isascii() and count.isdigit()) or int(count) > 10_000_000:
            self.fail(f"{value!r} needs a count, such as {plan}:{country}:10", param, ctx)
        return Licence(capability=plan.upper(), country=country.upper(), count=int(count))


@click.command()
@tenant_argument
@click.argument("licences", type=LicenceType(), nargs=-1)
@click.option("--from", "effective_at", type=click.DateTime(), help="UTC time from which they count.  [default: now]")
@id_option
@timeout_option
@brokers_option
@json_option
def licences(
    tenant: str,
    licences: tuple[Licence, ...],
    effective_at: datetime | None,
    command_id: str | None,
    timeout: float,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Set all licences of a tenant that bring minutes, and wait until they count.

    Each is PLAN:COUNTRY:COUNT. They replace the ones before from that time on: what is not named is gone, and without
    any the tenant has no pools. Calls that were charged already stay as they are.

    \b
    Example:
      credits licences tenant-00001 MCOMEETADD:US:10 MCOPSTN1:DE:25
      credits licences tenant-00001 MCOPSTN2:GB:5 --from 2027-01-01
    """
    from processor.cli.account_tables import licences_in_words
    from processor.cli.accounts import print_json
    from processor.cli.outcomes import SOURCE, new_command_id, send
    from processor.domain.account import Account
    from processor.domain.messages import LicencesSet, LicencesSetData

    settings = make_settings(brokers=brokers)
    now = datetime.now(UTC)
    starts = now if effective_at is None else effective_at.replace(tzinfo=UTC)
    command = LicencesSet(
        specversion="1.0",
        id=command_id or new_command_id(),
        source=SOURCE,
        subject=tenant,
        time=now,
        data=LicencesSetData(tenant_id=tenant, licences=list(licences), effective_at=starts),
    )
    account = send(settings, command, timeout, may_repeat=command_id is not None)
    assert isinstance(account, Account)  # noqa: S101 - what setting licences leads to
    if as_json:
        print_json(account)
    else:
        [present] = [each for each in account.licences if each.set_by == command.id]
        click.echo(f"{tenant}: {licences_in_words(present)}.")
