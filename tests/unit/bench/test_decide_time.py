"""That a decision stays cheap: the operator takes one for each model after each scrape."""

from bench.decide_time import milliseconds


def test_a_decision_on_eight_pods_takes_no_more_than_some_milliseconds_on_any_machine() -> None:
    """Some 0.3 ms where it has the core; the bound is for busy machines, far below what a scan of the past takes."""
    assert milliseconds(8) < 5
