"""What conditions and their reasons mean is told for each of them."""

import re

from batchedllm.api.conditions import CONDITIONS, REASONS, ConditionType, Reason

KEP_1623_REASON = re.compile(r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")


def test_every_condition_has_a_meaning():
    assert list(CONDITIONS) == list(ConditionType)


def test_every_reason_has_a_meaning():
    assert list(REASONS) == list(Reason)


def test_reasons_are_words_that_the_standard_allows():
    assert all(KEP_1623_REASON.match(reason) for reason in Reason)


def test_only_abnormal_conditions_and_what_is_asked_for_come_and_go():
    """kstatus takes a resource for failed or in progress when it sees them."""
    coming = {kind for kind, meaning in CONDITIONS.items() if not meaning.always_present}

    assert coming == {ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.BENCHMARKED}
