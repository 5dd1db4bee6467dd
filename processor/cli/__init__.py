"""The `credits` command: one module per subcommand, imported when it is called, so that `--help` answers at once."""

from importlib import import_module
from typing import Final

import click
from click.shell_completion import CompletionItem

SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Run": {
        "demo": ("processor.cli.demo:demo", "All of it live on one machine, ending with an audit."),
        "kafka": ("processor.cli.kafka:kafka_group", "A real Kafka broker without Docker."),
        "worker": ("processor.cli.worker:worker", "The stream processor: rates usage and debits balances."),
        "payment-worker": ("processor.cli.payments:payment_worker", "Charges what auto-pay asks for, once each."),
        "console": ("processor.cli.console:console", "The administrator's page and the HTTP API."),
        "simulate": ("processor.cli.simulate:simulate", "A telephony platform that emits realistic usage."),
    },
    "Connect": {
        "convert": ("processor.cli.convert:convert", "Call records of a vendor to usage events."),
        "pull": ("processor.cli.pull:pull_group", "Call records from a vendor's API, again and again."),
    },
    "Look": {
        "balance": ("processor.cli.accounts:balance", "A tenant's balance, lots and auto-pay."),
        "ledger": ("processor.cli.accounts:ledger", "A tenant's debits and credits."),
        "settings": ("processor.cli.settings:settings", "The effective settings and where each comes from."),
    },
    "Change": {
        "licences": ("processor.cli.licences:licences", "Set the licences that bring a tenant minutes."),
        "fund": ("processor.cli.accounts:fund", "Add funds to a tenant's account."),
        "adjust": ("processor.cli.adjustments:adjust", "Add an amount to a tenant's balance, or take it."),
        "autopay": ("processor.cli.accounts:autopay", "Set when and how much is paid automatically."),
        "reset": ("processor.cli.adjustments:reset", "End the pause or suspension of a tenant's auto-pay."),
        "settle": ("processor.cli.settling:settle", "Say what became of a payment that has no result."),
        "topics": ("processor.cli.topics:topics_group", "Create and check the Kafka topics."),
        "rates": ("processor.cli.rates:rates_group", "Import, check and compare rate decks, explain a price."),
    },
    "Check": {
        "dead-letters": (
            "processor.cli.dead_letters:dead_letters_group",
            "List, show and replay what could not be applied.",
        ),
        "verify": ("processor.cli.verify:verify", "Recompute every balance from the ledger and compare."),
        "check-producer": (
            "processor.cli.check_producer:check_producer",
            "Judge a producer by the records that it wrote.",
        ),
        "payment-conformance": (
            "processor.cli.conformance:payment_conformance",
            "Judge any payment worker on a real broker.",
        ),
    },
}
"""Every subcommand by the job it does: where it lives and its line in the help."""

_COMMANDS: Final = {name: found for section in SECTIONS.values() for name, found in section.items()}


class LazyGroup(click.Group):
    """Imports a subcommand when it is called; its line in the help needs no import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names the subcommands in the order of the help."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports and returns the subcommand."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), f"{module}:{attribute} is no click command"  # noqa: S101
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offers the subcommands without importing them, then the options."""
        names = [
            CompletionItem(name, help=line) for name, (_, line) in _COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes one section per job."""
        del ctx
        widest = max(map(len, _COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), line) for name, (_, line) in commands.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 found a problem, 2 wrong usage, 70 stopped itself on an unexpected error,"
    " 75 the broker cannot be reached.",
)
@click.version_option(None, "--version", package_name="communication-credits", message="%(package)s %(version)s")
def main() -> None:
    """Prepaid communications credits on Kafka, exactly once.

    Rates call and conference usage, debits the tenants' balances and pays automatically when one falls to its
    trigger. `credits demo` shows all of it in a minute; `credits COMMAND --help` explains a command. Settings come
    from flags, then from CREDITS_… in the environment, then from credits.toml.
    """
