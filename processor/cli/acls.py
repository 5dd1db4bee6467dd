"""`credits topics acls`: the Kafka rights of each role."""

import click

from processor.cli.common import broker_errors, brokers_option, client_conf, json_option, make_settings
from processor.contracts.rights import ROLES, rights

PREFIX = "User:credits-"


@click.command()
@click.option("--role", "roles", type=click.Choice(ROLES), multiple=True, help="Only this role; may be repeated.")
@click.option(
    "--principal",
    help=f"Kafka's name of the role's user, with exactly one --role.  [default: {PREFIX}ROLE]",
)
@click.option("--payment-group", default="credits-payments", show_default=True, help="Group of the payment workers.")
@click.option("--create", is_flag=True, help="Create them on the cluster; your own user needs the right to.")
@brokers_option
@json_option
def acls(
    roles: tuple[str, ...],
    principal: str | None,
    payment_group: str,
    create: bool,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Show or create the rights that each role needs, and nothing else.

    The groups follow from the settings. Creating can be repeated; rights that were given otherwise are not taken away.
    The cluster must deny what nobody allows: allow.everyone.if.no.acl.found=false.

    \b
    Examples:
      credits topics acls --role telephony
      credits topics acls --role worker --principal User:meter --create
    """
    from processor.stream import acls as rules

    if principal is not None and len(roles) != 1:
        raise click.UsageError("--principal is one role's user: name that role with --role")
    settings = make_settings(brokers=brokers)
    granted = rights(settings.app_id, payment_group)
    wanted = {role: rules.bindings(granted[role], principal or PREFIX + role) for role in roles or ROLES}
    if create:
        conf = client_conf(settings)
        with broker_errors(conf):
            rules.create(settings.brokers, conf, [rule for all_of in wanted.values() for rule in all_of])
    if as_json:
        import orjson

        said = {role: [rules.sentence(rule) for rule in all_of] for role, all_of in wanted.items()}
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
        return
    for role, all_of in wanted.items():
        click.echo(f"{role}: {granted[role].meaning}")
        for rule in all_of:
            click.echo(f"  {rules.sentence(rule)}")
    if create:
        click.echo(f"Created on {settings.brokers}.")
