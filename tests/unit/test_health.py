"""`/live` and `/ready` say what an orchestrator must know, and nothing else is served beside the metrics."""

from time import monotonic

import httpx
from prometheus_client import CollectorRegistry

from processor.embedded.broker import free_port
from processor.observability.health import COMMIT_WITHIN_S, LIVE_WITHIN_S, Health
from processor.observability.http import application, serve


class Facts:
    """What the health of a worker is made of."""

    assigned = True
    committing_since: float | None = None


def health(facts: Facts) -> Health:
    return Health(lambda: facts.assigned, lambda: facts.committing_since)


def get(made: Health, path: str) -> tuple[str, str]:
    answered: list[str] = []
    serve = application(CollectorRegistry(), made.live, made.ready)
    request = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
    body = b"".join(serve(request, lambda status, *_: answered.append(status)))  # type: ignore[arg-type,return-value]
    return answered[0].split()[0], body.decode()


def test_a_worker_with_its_partitions_and_an_idle_or_quick_commit_is_live_and_ready() -> None:
    facts = Facts()
    assert get(health(facts), "/live") == get(health(facts), "/ready") == ("200", "ok\n")
    facts.committing_since = monotonic()
    assert get(health(facts), "/ready") == ("200", "ok\n")


def test_a_worker_that_rebuilds_is_live_but_not_ready() -> None:
    facts = Facts()
    facts.assigned = False
    assert get(health(facts), "/live")[0] == "200"
    assert get(health(facts), "/ready") == ("503", "waiting for partitions, or rebuilding them\n")


def test_a_worker_whose_commit_hangs_is_live_but_not_ready() -> None:
    facts = Facts()
    facts.committing_since = monotonic() - COMMIT_WITHIN_S - 1
    assert get(health(facts), "/live")[0] == "200"
    assert get(health(facts), "/ready")[0] == "503"


def test_a_worker_that_was_told_to_stop_is_not_ready() -> None:
    made = health(Facts())
    made.stopping()
    assert get(made, "/ready") == ("503", "stopping\n")
    assert get(made, "/live")[0] == "200"


def test_a_worker_whose_loop_stands_still_is_neither_live_nor_ready() -> None:
    made = health(Facts())
    made._ticked_at = monotonic() - LIVE_WITHIN_S - 1
    assert get(made, "/live")[0] == get(made, "/ready")[0] == "503"


def test_metrics_are_beside_the_probes_and_any_other_path_is_not_found() -> None:
    assert get(health(Facts()), "/metrics")[0] == "200"
    assert get(health(Facts()), "/")[0] == "404"


def test_an_answer_over_http_has_its_own_length_whatever_was_answered_before() -> None:
    facts, port = Facts(), free_port()
    made = health(facts)
    serve(port, CollectorRegistry(), made.live, made.ready)
    facts.assigned = False
    assert httpx.get(f"http://127.0.0.1:{port}/ready").text == "waiting for partitions, or rebuilding them\n"
    facts.assigned = True
    assert httpx.get(f"http://127.0.0.1:{port}/ready").text == "ok\n"
