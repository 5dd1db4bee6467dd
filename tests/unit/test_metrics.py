"""The worker's metrics: present from the start, bounded, in the contract's names."""

from datetime import UTC, datetime, timedelta

from prometheus_client import generate_latest

from processor.contracts import topics
from processor.domain.errors import REASONS
from processor.domain.ledger import Entry, UsageDetail
from processor.observability.metrics import BulkHistogram, Metrics
from processor.stream.work import Work

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def entry(tenant: str) -> Entry:
    return Entry(
        entry_id=f"{tenant}:1",
        tenant_id=tenant,
        revision=1,
        kind="charge",
        event_id="e",
        event_source="s",
        occurred_at=NOW,
        recorded_at=NOW,
        amount_micros=-15_000,
        balance_micros=0,
        currency="USD",
        usage=UsageDetail(decision="credits", reason="pay_as_you_go"),
    )


def test_every_labelled_series_exists_with_zero_before_anything_happened() -> None:
    found = samples(Metrics())
    for reason in REASONS:
        assert found["credits_dead_letters_total", (reason,)] == 0
    for topic in topics.INPUTS:
        assert found["credits_events_consumed_total", (topic,)] == 0
    assert found["credits_events_total", ("call", "charged")] == 0


def test_ten_thousand_tenants_add_no_series_and_no_label_value() -> None:
    metrics = Metrics()
    before = samples(metrics).keys()
    work = Work(NOW)
    for index in range(10_000):
        work.used("call", [entry(f"tenant-{index}")], datetime.now(UTC))
    metrics.committed(work, 0.01)
    after = samples(metrics)
    assert after.keys() == before
    assert after["credits_events_total", ("call", "charged")] == 10_000
    assert after["credits_debited_micros_total", ("credits",)] == 10_000 * 15_000
    assert not any("tenant-" in value for _, labels in after for value in labels)


def test_the_age_of_every_event_is_in_its_bucket() -> None:
    metrics = Metrics()
    work = Work(NOW)
    now = datetime.now(UTC)
    work.happened_at = [now, now - timedelta(seconds=7), now - timedelta(hours=2), now + timedelta(seconds=3)]
    metrics.committed(work, 0.01)
    found = samples(metrics)
    assert found["credits_event_age_seconds_bucket", ("0.05",)] >= 1  # the one of our clock's future
    assert found["credits_event_age_seconds_bucket", ("5.0",)] == 2
    assert found["credits_event_age_seconds_bucket", ("10.0",)] == 3
    assert found["credits_event_age_seconds_bucket", ("+Inf",)] == 4
    assert found["credits_event_age_seconds_count", ()] == 4


def test_the_bulk_histogram_counts_as_prometheus_does_with_bounds_included() -> None:
    metrics = Metrics()
    histogram = BulkHistogram("h", "text", (1.0, 2.0), metrics.registry)
    histogram.observe_all([0.5, 1.0, 1.5, 2.0, 2.5])
    histogram.observe_all([1.0])
    found = samples(metrics)
    assert [found["h_bucket", (bound,)] for bound in ("1.0", "2.0", "+Inf")] == [3, 5, 6]
    assert found["h_sum", ()] == 8.5


def test_no_created_series_doubles_the_page() -> None:
    assert b"_created" not in generate_latest(Metrics().registry)
