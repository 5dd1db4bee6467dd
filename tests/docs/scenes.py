"""What each page takes for granted and promises, and the lines that another test runs."""

from dataclasses import dataclass, field

ELSEWHERE = {
    "make ": "names of targets only (test_links_and_commands.py): they contain these tests, or take minutes",
    "git clone ": "whoever runs this has done it",
    "source .venv/bin/activate": "the terminal of these tests has that path",
    "pytest ": "these tests themselves",
    "ruff ": "`make lint`, before these tests",
    "pip install ": "needs the package's index; the wheel and its extras: tests/ops/test_wheel.py",
    "docker compose ": "needs a container engine; the commands of its services: tests/ops/test_compose_commands.py",
    "kubectl ": "needs a cluster; the manifests: tests/ops/test_kubernetes.py, more workers: tests/crash",
    "go run ": "tests/stream/test_producers.py builds it and runs it",
    "python -m drills": "tests/ops/test_drills.py, two of them; all take twenty minutes",
    "credits demo": "tests/stream/test_demo.py",
    "python -m tests.upgrade.record_state": "writes into the checkout, once per release; tested beside it",
    'credits payment-conformance --cmd "java': "another's worker; with ours: tests/stream/test_payment_conformance.py",
    'credits payment-conformance --cmd "./worker': "another's worker; with ours: the same",
    'credits payment-conformance --cmd "credits': "tests/stream/test_payment_conformance.py, with fewer tenants",
}
"""Lines that are not run here, by how they begin, with what runs them or why nothing can."""

ACCOUNT = "credits autopay tenant-00001 --amount 50 --trigger 20"
METER = ["credits worker --processes 1 --rates deck.csv", "credits payment-worker", ACCOUNT]
USAGE = "credits simulate --open --tenants 3 --rate 50 --seconds 1"
SPENT = "credits simulate --tenants 3 --rate 0 --events 2000"
PARKED = [  # the deck has few prefixes
    USAGE,
    "until credits dead-letters list --json | grep --quiet no_rate; do :; done",
    "export LETTER=$(credits dead-letters list --json | jq --raw-output '.letters[0].letter')",
]
STOPPED = [  # Kafka's tool resets positions of a group without members only
    "^C credits worker",
    "python -m tests.docs.group_without_members kafka-1:9092 credits-meter",
]
GRAPH = [
    "export CREDITS_GRAPH_TENANT_ID=11111111-2222-3333-4444-555555555555",
    "export CREDITS_GRAPH_CLIENT_ID=66666666-7777-8888-9999-000000000000",
    "export CREDITS_GRAPH_CLIENT_SECRET_FILE=/run/secrets/graph",
]
OPERATOR = "export TOKEN=$(credits console token add tester --role operator --all-tenants)"
FOLLOWED = (  # a console that has just started has yet to read the account
    'until curl --fail --silent --output /dev/null -H "Authorization: Bearer $TOKEN"'
    " http://127.0.0.1:8080/v1/accounts/tenant-00001; do :; done"
)
ALICE = (  # what a sign-in with an identity provider leaves behind: tests/contract/test_oidc.py
    'python -c "from processor.console.access import Principal, Role, open_access;'
    " open_access('sqlite:///credits-data/console/access.sqlite')"
    ".open_session(Principal('oidc:alice', Role.VIEWER, frozenset()))\""
)
SCRAM_USER = (
    "kafka-configs.sh --bootstrap-server kafka-1:9092 --command-config admin.properties --alter"
    ' --entity-type users --entity-name credits-worker --add-config "SCRAM-SHA-512=[password=old]"'
)


@dataclass
class Scene:
    """What a page takes for granted and what it promises; keys say how a line of the page begins."""

    before: list[str] = field(default_factory=list)
    """Typed before the page; `^C` and a command is Ctrl-C in the terminal where it runs."""

    first: dict[str, list[str]] = field(default_factory=dict)
    """Typed before a line: what the prose around it says has happened."""

    after: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    """Exit codes other than 0."""

    shows: dict[str, str] = field(default_factory=dict)
    """What a line prints, as a regular expression; of a line that only looks, soon."""

    own_broker: bool = False
    """The page brings its own broker, so that of the session is not used."""


SCENES = {
    "CHANGELOG.md": Scene(["export CREDITS_STRIPE_API_KEY=rk_test"]),
    "README.md": Scene(
        shows={
            "credits autopay acme": r"acme: auto-pay adds 50\.00 USD",
            "credits balance acme": r"Balance +50\.00 USD",
            "credits ledger acme": r"recharge",
        },
        own_broker=True,
    ),
    "docs/how-to/console.md": Scene(
        [*METER, OPERATOR],
        first={"credits console token revoke oidc:alice": [ALICE], "curl -H": [FOLLOWED]},
    ),
    "docs/how-to/convert-vendor-records.md": Scene(codes={"credits convert asterisk": 1}),
    "docs/how-to/emit-usage.md": Scene([USAGE]),
    "docs/how-to/operate.md": Scene(
        first={"kafka-consumer-groups.sh": STOPPED}, shows={"kafka-consumer-groups.sh": r"usage\.call\.v1 +7 +0"}
    ),
    "docs/how-to/producers.md": Scene([USAGE]),
    "docs/how-to/rate-decks.md": Scene(codes={"credits rates lint": 1, "credits rates diff": 1}),
    "docs/how-to/replay-dead-letters.md": Scene(["credits worker --processes 1 --rates deck.csv", *PARKED]),
    "docs/how-to/restore.md": Scene(
        first={"kafka-consumer-groups.sh": STOPPED}, shows={"kafka-consumer-groups.sh": r"recharge\.results\.v1 +7 +0"}
    ),
    "docs/how-to/rotate-credentials.md": Scene(
        [
            "echo client.id=admin > admin.properties",
            "export NEW_PASSWORD=new",
            SCRAM_USER,
            "credits console token add reports --role viewer --all-tenants",
        ],
        shows={"credits console token list": r"reports-2: viewer, all tenants"},
    ),
    "docs/how-to/shell-completion.md": Scene(
        ["mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc ~/.config/fish/completions"]
    ),
    "docs/how-to/write-a-payment-worker.md": Scene(["export CREDITS_STRIPE_API_KEY=rk_test"]),
    "docs/reference/command-line.md": Scene(
        [*METER, *PARKED, *GRAPH],
        codes={  # Master.csv has rows that are no calls, and all are of March; the deck has few prefixes
            "credits convert asterisk": 1,
            "credits check-producer usage.call.v1": 1,
            "credits rates lint": 1,
            # Nobody writes while it follows; tests/stream/test_check_producer.py has somebody who does.
            "credits check-producer usage.conference.v1": 1,
            # No payment waits for a result; tests/stream/test_cli_accounts.py has one that does.
            "credits settle": 1,
        },
    ),
    "docs/tutorial.md": Scene(
        first={"credits payment-worker --decline-rate 1": ["^C credits payment-worker", SPENT]},
        after=["credits balance tenant-00001"],
        shows={
            "credits balance tenant-00001": r"after \d failed payment",
            "credits topics apply": r"(?s)(8 +│ [^│]+│[^│]+│ created.*){12}",
            "credits autopay acme": r"acme: auto-pay adds 50\.00 USD when the balance falls to 20\.00 USD, with card",
            "credits balance acme": r"(?s)Balance +50\.00 USD.*lot-1 .* 50\.00 USD │ 50\.00 USD │",
            "credits ledger acme": r"(?s)recharge.*1 of 1 entries of acme",
            "credits ledger tenant-00001": r"(?s)charge .*recharge ",
            "credits verify": r"no drift",
            "credits rates price": r"(?s)\+447911123456.*65 s",
        },
        own_broker=True,
    ),
}
