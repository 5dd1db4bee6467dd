"""`credits console` from the command line: tokens, and what it says when it cannot start."""

import socket
from pathlib import Path

from click.testing import CliRunner, Result

from processor.cli import main
from processor.console.access import Role, open_access
from processor.console.server import database_urls


def run(directory: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["console", *arguments, "--data-dir", str(directory)])
    assert result.exit_code == code, result.output
    return result


def test_a_token_is_printed_once_and_listed_without_its_secret(tmp_path: Path) -> None:
    token = run(
        tmp_path, "token", "add", "alice", "--role", "billing-admin", "--tenant", "t1", "--days", "7"
    ).output.strip()
    holder = open_access(database_urls(None, tmp_path / "console")[1]).holder(token)
    assert holder == ("alice", Role.BILLING_ADMIN, frozenset({"t1"}))
    listed = run(tmp_path, "token", "list").output
    assert listed.startswith("alice: billing-admin, t1, until 20")
    assert token not in listed


def test_a_name_is_taken_until_it_is_revoked(tmp_path: Path) -> None:
    run(tmp_path, "token", "add", "reports", "--all-tenants")
    assert "revoke it first" in run(tmp_path, "token", "add", "reports", "--all-tenants", code=1).output
    run(tmp_path, "token", "revoke", "reports")
    assert "no token and no session named 'reports'" in run(tmp_path, "token", "revoke", "reports", code=1).output
    run(tmp_path, "token", "add", "reports", "--all-tenants")


def test_a_token_must_say_which_tenants(tmp_path: Path) -> None:
    for scope in ((), ("--all-tenants", "--tenant", "t1")):
        assert "which tenants" in run(tmp_path, "token", "add", "x", *scope, code=2).output


def test_an_address_in_use_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = run(tmp_path, "--port", str(taken.getsockname()[1]), code=1).output
    assert "choose another with --host or --port" in said


def test_a_database_of_another_kind_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "SQLite or PostgreSQL" in run(tmp_path, "--port", str(port), "--database", "mysql://x/y", code=1).output


def test_who_listens_for_others_without_tls_is_warned(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:  # noqa: S104 - so that the console ends at once
        port = str(taken.getsockname()[1])
        others, https = ("--host", "0.0.0.0", "--port", port), ("--public-url", "https://credits.example.org")  # noqa: S104
        assert "unencrypted" in run(tmp_path, *others, code=1).output
        assert "unencrypted" not in run(tmp_path, *others, *https, code=1).output
        assert "unencrypted" not in run(tmp_path, "--port", port, code=1).output
