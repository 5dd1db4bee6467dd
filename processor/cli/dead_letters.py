"""`credits dead-letters`: what could not be applied, and back with it once the cause is mended."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from processor.cli.common import CommandFailed, brokers_option, client_conf, json_option, make_settings
from processor.contracts import topics
from processor.domain.errors import REASONS

if TYPE_CHECKING:
    from confluent_kafka import Message

    from processor.stream.letters import Letter, Place

Made = TypeVar("Made")

SHOWN: Final = 50
TIMES: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]


class Choice(NamedTuple):
    """Which letters a command is about."""

    reasons: tuple[str, ...] = ()
    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        """Judges one letter."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.tenant is None or letter.key == self.tenant.encode())
            and (self.since is None or letter.parked_at >= self.since)
            and (self.until is None or letter.parked_at < self.until)
        )


def _utc(_context: click.Context, _parameter: click.Parameter, value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None else None


def _time(name: str, says: str) -> Callable[..., Any]:
    example = "2026-03-01 or 2026-03-01T09:00:00Z"
    return click.option(name, metavar="TIME", type=click.DateTime(TIMES), callback=_utc, help=f"{says}: {example}.")


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that make a `Choice`."""
    for option in (
        _time("--until", "Parked before this time"),
        _time("--since", "Parked at this time or later"),
        click.option("--tenant", help="The tenant in the record's key."),
        click.option(
            "--reason",
            "reasons",
            metavar="REASON",
            type=click.Choice(REASONS),
            multiple=True,
            help="Why it was parked, such as no_rate; may be repeated.",
        ),
    ):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters_group() -> None:
    """List, show and replay the records that could not be applied."""


@dead_letters_group.command("list", short_help="List what is parked, without showing any of it.")
@choice_options
@click.option("--replayed", is_flag=True, help="Also those that have been replayed.")
@click.option("--limit", type=click.IntRange(1), default=SHOWN, show_default=True, help="The newest; all are counted.")
@brokers_option
@json_option
def list_letters(
    reasons: tuple[str, ...],
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
    replayed: bool,
    limit: int,
    brokers: str | None,
    as_json: bool,
) -> None:
    """List what is parked and has not been replayed, without showing any of it.

    \b
    Examples:
      credits dead-letters list
      credits dead-letters list --reason no_rate --since 2026-03-01 --json
    """
    from processor.cli.letter_tables import print_letters

    box = Box(client_conf(make_settings(brokers=brokers)))
    counted: Counter[str] = Counter()
    newest: deque[Letter] = deque(maxlen=limit)
    for letter in box.letters(Choice(reasons, tenant, since, until), replayed=replayed):
        counted[letter.reason] += 1
        newest.append(letter)
    print_letters(sorted(newest, key=lambda letter: letter.parked_at), counted, box.replayed, as_json=as_json)


@dead_letters_group.command("show", short_help="Show parked records, with phone numbers masked.")
@click.argument("letters", metavar="LETTER…", nargs=-1, required=True)
@click.option("--reveal", is_flag=True, help="Show phone numbers; think of who looks over your shoulder.")
@brokers_option
@json_option
def show_letters(letters: tuple[str, ...], reveal: bool, brokers: str | None, as_json: bool) -> None:
    """Show parked records: why, where from, and the original with its phone numbers masked.

    LETTER is an id of `credits dead-letters list`, such as 3-17.

    \b
    Examples:
      credits dead-letters show 3-17
      credits dead-letters show 3-17 --reveal --json
    """
    from processor.cli.letter_tables import print_letter

    box = Box(client_conf(make_settings(brokers=brokers)))
    for letter in box.named(_places(letters)):
        print_letter(letter, replayed=letter.place in box.replayed, reveal=reveal, as_json=as_json)


@dead_letters_group.command("replay", short_help="Send parked records back to where they came from.")
@click.argument("letters", metavar="[LETTER…]", nargs=-1)
@choice_options
@click.option("--all", "everything", is_flag=True, help="Whatever is open; needed where nothing else is chosen.")
@click.option("--dry-run", is_flag=True, help="Say what would be replayed and write nothing.")
@brokers_option
@json_option
def replay_letters(
    letters: tuple[str, ...],
    reasons: tuple[str, ...],
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
    dry_run: bool,
    brokers: str | None,
    as_json: bool,
) -> None:
    """Send parked records back to the topics they came from, key, value and headers as they were.

    Mend the cause first. The workers decide what becomes of each: an event that was applied meanwhile is recognised by
    its id and not applied again, one that still cannot be applied is parked again as a new letter. A letter that was
    replayed is not replayed again, so the command can be repeated at any time.

    Left out, and counted, are records that arrived before the de-duplication window and those that no worker would
    take for their size.

    \b
    Examples:
      credits dead-letters replay --reason no_rate --dry-run
      credits dead-letters replay --reason no_rate --tenant contoso
      credits dead-letters replay 3-17 3-18
    """
    from processor.cli.replaying import replay

    choice = Choice(reasons, tenant, since, until)
    if not (letters or everything or choice != Choice()):
        raise click.UsageError("choose letters: by id, --reason, --tenant, --since, --until, or --all of them")
    settings = make_settings(brokers=brokers)
    conf = client_conf(settings)
    box = Box(conf)
    window, now, left_out = settings.policy.deduplication, datetime.now(UTC), Counter[str]()

    def wanted() -> Iterator[Letter]:
        found = box.named(_places(letters)) if letters else box.letters(choice)
        for letter in found:
            if not choice.takes(letter):
                continue
            why = "it has been replayed before" if letter.place in box.replayed else letter.obstacle(now, window)
            if why is None:
                yield letter
            else:
                left_out[why] += 1

    if dry_run:
        replayed = sum(1 for _ in wanted())
    else:
        total = sum(1 for _ in wanted())
        left_out.clear()
        with _progress(total) as advance:
            replayed = replay(conf, wanted(), advance)
    _report(replayed, left_out, dry_run=dry_run, as_json=as_json)


class Box:
    """The letters of a cluster, and which of them have a receipt. Reads the topic once for the receipts."""

    def __init__(self, conf: Mapping[str, Any]) -> None:
        from processor.stream.letters import receipt

        self._conf = conf
        self.replayed: set[Place] = {place for place in self._read(receipt) if place is not None}

    def letters(self, choice: Choice, *, replayed: bool = False) -> Iterator[Letter]:
        """Yields the chosen letters that are open, in the order of each partition, or also those with a receipt."""
        for letter in self._letters():
            if (replayed or letter.place not in self.replayed) and choice.takes(letter):
                yield letter

    def named(self, places: set[Place]) -> Iterator[Letter]:
        """Yields letters by name; raises `CommandFailed` when one is not there."""
        missing = set(places)
        for letter in self._letters(sorted({partition for partition, _ in places})):
            if letter.place in missing:
                missing.discard(letter.place)
                yield letter
        if missing:
            named = ", ".join("{}-{}".format(*place) for place in sorted(missing))
            raise CommandFailed(f"no letter {named}: `credits dead-letters list --replayed` names those that there are")

    def _letters(self, partitions: list[int] | None = None) -> Iterator[Letter]:
        from processor.stream.letters import read, receipt

        found = self._read(lambda record: read(record) if receipt(record) is None else None, partitions)
        return (letter for letter in found if letter is not None)

    def _read(self, make: Callable[[Message], Made], partitions: list[int] | None = None) -> Iterator[Made]:
        from processor.cli.reading import read_committed
        from processor.stream.letters import NotALetterError

        for record in read_committed(self._conf, topics.DEAD_LETTERS, partitions):
            try:
                yield make(record)
            except NotALetterError as error:
                raise CommandFailed(f"{topics.DEAD_LETTERS}: {error}") from None


def _places(names: tuple[str, ...]) -> set[Place]:
    try:
        return {(int(partition), int(offset)) for partition, offset in (name.split("-") for name in names)}
    except ValueError:
        raise click.UsageError("a letter is named by partition and offset, such as 3-17") from None


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn as Bar
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("replaying"), Bar(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("replaying", total=total)
        yield lambda count: progress.advance(task, count)


def _report(replayed: int, left_out: Counter[str], *, dry_run: bool, as_json: bool) -> None:
    import msgspec

    if as_json:
        document = {"replayed": 0 if dry_run else replayed, "would_replay": replayed if dry_run else 0}
        click.echo(msgspec.json.encode({**document, "left_out": dict(left_out)}).decode())
        return
    click.echo(f"{replayed:,} {'would be replayed' if dry_run else 'replayed'}")
    for why, count in left_out.most_common():
        click.echo(f"{count:,} left out: {why}")
