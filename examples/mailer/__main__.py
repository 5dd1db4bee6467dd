"""`python -m examples.mailer --help`."""

import argparse
import json
import logging
import os
import signal
import smtplib
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from confluent_kafka import Consumer, KafkaException

from examples.mailer.letters import Letters
from examples.mailer.mailer import Mailer, Memory

TOPIC = "notifications.v1"
TIMEOUT_S = 30.0

log = logging.getLogger("mailer")


def arguments() -> argparse.Namespace:
    """Reads the command line; the password comes from the environment only."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.mailer",
        description="Mails what the meter notices. MAILER_SMTP_USER and MAILER_SMTP_PASSWORD log in, with TLS.",
    )
    parser.add_argument("--brokers", default=os.environ.get("CREDITS_BROKERS", "127.0.0.1:9092"))
    parser.add_argument("--group", default="credits-mailer")
    parser.add_argument("--smtp", default="127.0.0.1:25", metavar="HOST:PORT")
    parser.add_argument("--sender", required=True, metavar="ADDRESS")
    parser.add_argument("--recipients", required=True, type=Path, metavar="FILE", help="see recipients.example.toml")
    parser.add_argument("--memory", default=Path("mailed.sqlite"), type=Path, metavar="FILE", help="what was mailed")
    return parser.parse_args()


@contextmanager
def connection(address: str) -> Iterator[smtplib.SMTP]:
    """Connects for one mail; logs in, only over TLS, when there is a user."""
    host, _, port = address.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=TIMEOUT_S) as server:
        if user := os.environ.get("MAILER_SMTP_USER"):
            server.starttls()
            server.login(user, os.environ["MAILER_SMTP_PASSWORD"])
        yield server


def main() -> None:
    """Reads committed notifications and commits its position after each mail."""
    options = arguments()
    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    letters, recipients = Letters(), tomllib.loads(options.recipients.read_text("utf-8"))
    people = [*recipients.get("tenants", {}).values(), *([recipients["default"]] if "default" in recipients else [])]
    if unknown := {each["language"] for each in people} - letters.languages:
        raise SystemExit(f"{options.recipients}: no texts in {', '.join(sorted(unknown))}; see texts/")
    memory = Memory(options.memory)
    mailer = Mailer(
        letters,
        recipients,
        memory,
        lambda: connection(options.smtp),
        options.sender,
        stop,
    )
    consumer = Consumer(
        {
            "bootstrap.servers": options.brokers,
            "group.id": options.group,
            "isolation.level": "read_committed",  # a notice of an aborted transaction was never meant
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10_000,  # how long a killed mailer holds up its successor
        }
    )
    consumer.subscribe([TOPIC])
    log.info("reading %s", TOPIC)
    try:
        while not stop.is_set():
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error() is not None:
                raise KafkaException(message.error())
            if mailer.handle(json.loads(message.value())):
                consumer.commit(message, asynchronous=False)
    finally:
        consumer.close()
        memory.close()


if __name__ == "__main__":
    main()
