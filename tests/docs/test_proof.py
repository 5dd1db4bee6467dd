"""The README shows what recorded runs of `make chaos` have survived, long enough and with both group protocols."""

from tests.crash.figures import RECORDED, Figures, table
from tests.docs.pages import ROOT


def test_the_readme_shows_the_recorded_runs_of_chaos() -> None:
    runs = [Figures.read(RECORDED / f"{protocol}.json") for protocol in ("classic", "consumer")]
    assert [run.protocol for run in runs] == ["classic", "consumer"]
    assert all(run.seconds >= 1800 and run.kills >= 200 for run in runs)
    assert table(*runs) in (ROOT / "README.md").read_text()
