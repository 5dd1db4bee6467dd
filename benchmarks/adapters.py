"""How many vendor rows a second does one core convert, with the rows in a file and no number seen before?

Every row has two numbers of its own, so nothing that remembers numbers helps. Rows have the fields and the length of
real ones. Counted is everything between the file and the encoded event, in processor time of this process: a busy
neighbour on the machine does not change it. Peak memory is this process's after the last file, and must not depend on
`--rows`.
"""

import io
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import click
import msgspec

from processor.adapters import Converted, Options, Vendor, convert

OPTIONS = Options(tenant_id="contoso", own=("+1425",))
FIRST = datetime(2026, 3, 2, 9, tzinfo=UTC)
PAGE = 1000


def moments(number: int) -> tuple[datetime, datetime, int]:
    seconds = 1 + number % 600
    start = FIRST + timedelta(milliseconds=number * 7 % 80_000_000)
    return start, start + timedelta(seconds=seconds), seconds


def graph_row(number: int) -> bytes:
    start, end, seconds = moments(number)
    return (
        b'{"id":"6f0f3a52-8c1e-4c2f-9a57-%012d","callId":"1835317186_%09d@192.0.2.176",'
        b'"userId":"3b1f0d8a-57b2-4d53-9b0e-2f6a8c4d1e01","userPrincipalName":"adele@contoso.example",'
        b'"userDisplayName":"Adele Vance","startDateTime":"%s5Z","endDateTime":"%s5Z","duration":%d,"charge":0.0640,'
        b'"callType":"user_out","currency":"USD","calleeNumber":"+4420%08d","usageCountryCode":"US",'
        b'"tenantCountryCode":"US","connectionCharge":0.00,"callerNumber":"+1425%07d",'
        b'"destinationContext":"International","destinationName":"United Kingdom","conferenceId":null,'
        b'"licenseCapability":"MCOPSTNPP","inventoryType":"Subscriber","operator":"Microsoft",'
        b'"callDurationSource":"microsoft"}'
    ) % (number, number, fine(start), fine(end), seconds, number, 2_000_000 + number)


def fine(at: datetime) -> bytes:
    return f"{at:%FT%T.%f}".encode()


def graph_file(rows: int) -> Iterator[bytes]:
    """Pages as the API answers, one after the other."""
    for first in range(0, rows, PAGE):
        page = b",".join(graph_row(number) for number in range(first, min(first + PAGE, rows)))
        yield b'{"@odata.count":%d,"value":[%s],"@odata.nextLink":"https://graph.example/?$skip=1000"}\n' % (PAGE, page)


def freeswitch_file(rows: int) -> Iterator[bytes]:
    for number in range(rows):
        start, end, seconds = moments(number)
        yield (
            b'{"core-uuid":"7a1f6f5e-6b1c-4a58-9a51-2c4c8d0f1e01","switchname":"pbx1","variables":{"direction":"inbound",'
            b'"uuid":"3da8bf84-c133-4959-9e24-%012d","session_id":"7","sip_from_uri":"1001@192.0.2.204",'
            b'"hangup_cause":"NORMAL_CLEARING","hangup_cause_q850":"16","start_stamp":"2026-03-02 10:25:44",'
            b'"start_uepoch":"%d","answer_uepoch":"%d","end_uepoch":"%d","duration":"%d","billsec":"%d",'
            b'"billmsec":"%d"},"callflow":[{"dialplan":"XML","caller_profile":{"caller_id_name":"Adele",'
            b'"caller_id_number":"+1425%07d","destination_number":"+4420%08d","context":"default"},'
            b'"times":{"created_time":"%d"}}]}\n'
        ) % (
            number,
            micros(start) - 3_000_000,
            micros(start),
            micros(end),
            seconds + 3,
            seconds,
            seconds * 1000,
            2_000_000 + number,
            number,
            micros(start),
        )


def micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def asterisk_file(rows: int) -> Iterator[bytes]:
    for number in range(rows):
        start, end, seconds = moments(number * 1000)
        yield (
            f'"","+1425{2_000_000 + number:07}","206{2_000_000 + number:07}","internal","""Adele Vance"" <1001>",'
            f'"PJSIP/1001-{number:08x}","PJSIP/carrier-{number:08x}","Dial","PJSIP/{number:08}@carrier,30",'
            f'"{start:%F %T}","{start:%F %T}","{end:%F %T}",{seconds + 3},{seconds},'
            f'"ANSWERED","DOCUMENTATION","1772443544.{number}",""\n'
        ).encode()


def twilio_file(rows: int) -> Iterator[bytes]:
    """One list, however long."""
    yield b'{"page":0,"calls":['
    for number in range(rows):
        start, end, seconds = moments(number)
        yield (
            b'%s{"account_sid":"AC0123456789abcdef0123456789abcdef","api_version":"2010-04-01","caller_name":null,'
            b'"date_created":"%s","direction":"outbound-api","duration":"%d","end_time":"%s","from":"+1425%07d",'
            b'"parent_call_sid":null,"price":"-0.03000","price_unit":"USD","queue_time":"1000","sid":"CA%032x",'
            b'"start_time":"%s","status":"completed","subresource_uris":{"recordings":"/2010-04-01/Accounts/AC0/Calls"},'
            b'"to":"+4420%08d","uri":"/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Calls/CA%032x.json"}'
        ) % (
            b"," * (number > 0),
            mail(start),
            seconds,
            mail(end),
            2_000_000 + number,
            number,
            mail(start),
            number,
            number,
        )
    yield b'],"next_page_uri":null}'


def mail(at: datetime) -> bytes:
    return format_datetime(at).encode()


FILES: dict[Vendor, Callable[[int], Iterator[bytes]]] = {
    "graph": graph_file,
    "freeswitch": freeswitch_file,
    "asterisk": asterisk_file,
    "twilio": twilio_file,
}


class Figure(msgspec.Struct):
    """Rows a second of one core's time, and the bytes a row has."""

    rows_per_s: int
    bytes_per_row: int


def measure(vendor: Vendor, rows: int, directory: Path) -> Figure:
    path = directory / vendor
    with path.open("wb") as file:
        file.writelines(FILES[vendor](rows))
    converted = 0
    with path.open("rb") as file, io.BytesIO() as out:
        started = time.process_time()
        for outcome in convert(vendor, file, OPTIONS):
            assert isinstance(outcome, Converted), outcome
            out.write(outcome.usage.value)
            out.seek(0)  # the cost of writing, without keeping it
            converted += 1
        took_s = time.process_time() - started
    assert converted == rows
    size = path.stat().st_size
    path.unlink()
    return Figure(int(rows / took_s), size // rows)


@click.command()
@click.option("--rows", type=click.IntRange(1000, 7_000_000), default=200_000, show_default=True, help="Per vendor.")
@click.option("--vendor", type=click.Choice(list(FILES)), multiple=True, help="Default: all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rows: int, vendor: tuple[Vendor, ...], as_json: bool) -> None:
    """Measure the adapters on this machine, one vendor after the other, on one core."""
    with tempfile.TemporaryDirectory() as directory:
        figures = {name: measure(name, rows, Path(directory)) for name in vendor or FILES}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if as_json:
        document = {"rows": rows, "python": platform.python_version(), "peak_memory_mb": peak_mb, "vendors": figures}
        sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
        return
    for name, figure in figures.items():
        click.echo(f"{name:<12}{figure.rows_per_s:>9,} rows/s  of {figure.bytes_per_row} bytes")
    click.echo(f"peak memory {peak_mb} MB")


if __name__ == "__main__":
    main()
