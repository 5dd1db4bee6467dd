"""Turns a notification into a mail: subject, plain text and HTML, in the language of its reader."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
ISOLATE, POP = "\u2068", "\u2069"
"""Around what may run the other way than the sentence: an amount in an Arabic text."""


class Letters:
    """The texts of all languages in `directory`, one TOML file each, and the templates that they go into."""

    def __init__(self, directory: Path = HERE / "texts") -> None:
        self._texts = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in directory.glob("*.toml")}
        templates = FileSystemLoader(HERE / "templates")
        self._html = Environment(loader=templates, autoescape=True, undefined=StrictUndefined)
        self._plain = Environment(loader=templates, autoescape=False, undefined=StrictUndefined)  # noqa: S701 - no HTML

    @property
    def languages(self) -> set[str]:
        """The languages that there are texts in."""
        return set(self._texts)

    def write(self, event: Mapping[str, Any], sender: str, to: Sequence[str], language: str) -> EmailMessage:
        """Writes the mail about one CloudEvent of `notifications.v1`.

        A type that this program does not know yet gets the text `other`. The Message-ID follows from the event, so
        that mail programs recognise a mail that was sent twice. Raises `KeyError` for a language without texts.
        """
        texts = self._texts[language]
        values = self._values(event, texts)
        kind = event["type"].removeprefix("credits.").removesuffix(".v1")
        text = texts.get(kind, texts["other"])
        subject, body = (self._plain.from_string(text[part]).render(values) for part in ("subject", "body"))
        labels = texts["labels"]
        page = {
            "language": language,
            "direction": texts["direction"],
            "subject": subject,
            "body": body,
            "details": [(label, values[name]) for name, label in labels.items() if values[name]],
            "footer": texts["footer"],
        }
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = sender, ", ".join(to), " ".join(subject.split())
        mail["Date"] = format_datetime(datetime.fromisoformat(event["time"]))
        mail["Message-ID"] = f"<{identity(event)}@{sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(self._plain.get_template("mail.txt.j2").render(page))
        mail.add_alternative(self._html.get_template("mail.html.j2").render(page), subtype="html")
        mail["Content-Language"] = language  # of the whole; set earlier it would move into the first part
        return mail

    def _values(self, event: Mapping[str, Any], texts: Mapping[str, Any]) -> dict[str, str]:
        """Returns what a text may mention; what the event does not say is empty."""
        data, reason = event["data"], event["data"].get("reason")
        values = {
            "tenant": event["subject"],
            "amount": money(data.get("amount_micros"), data["currency"]),
            "balance": money(data["balance_micros"], data["currency"]),
            "reason": texts["reasons"].get(reason, reason),
            "reference": data.get("recharge_id") or data.get("command_id") or data.get("lot_id"),
            "pool": data.get("pool"),
            "month": data.get("month"),
            "percent": f"{data['percent']} %" if "percent" in data else None,
        }
        rtl = texts["direction"] == "rtl"
        return {name: f"{ISOLATE}{value}{POP}" if value and rtl else value or "" for name, value in values.items()}


def money(micros: int | None, currency: str) -> str | None:
    """Writes an amount with two decimals, or as many as it needs: `50.00 USD`, `0.015 USD`."""
    if micros is None:
        return None
    whole, _, decimals = f"{Decimal(micros).scaleb(-6):,.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2} {currency}"


def identity(event: Mapping[str, Any]) -> str:
    """Returns what tells this event from every other one: it is the same when the event comes again."""
    return hashlib.sha256(f"{event['source']}\n{event['id']}".encode()).hexdigest()[:32]
