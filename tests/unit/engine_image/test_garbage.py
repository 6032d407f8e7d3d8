"""How often the API server looks for garbage: rarer than Python by itself, and never against somebody's choice."""

import gc

import pytest
from prometheus_client import CollectorRegistry

from batchedllm_engine.garbage import CONTAINERS, look_for_garbage_rarely
from batchedllm_engine.middleware import AdmissionMiddleware
from batchedllm_engine.middleware.settings import SettingsSource


@pytest.fixture(autouse=True)
def thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize("pythons_own", [700, 2000])
def test_pythons_own_threshold_is_raised_and_the_older_ones_stay(pythons_own):
    gc.set_threshold(pythons_own, 11, 12)
    look_for_garbage_rarely()

    assert gc.get_threshold() == (CONTAINERS, 11, 12)


@pytest.mark.parametrize("chosen", [0, 50_000])
def test_what_somebody_has_chosen_stays(chosen):
    gc.set_threshold(chosen, 10, 10)
    look_for_garbage_rarely()

    assert gc.get_threshold()[0] == chosen


def test_the_middleware_brings_it_to_the_api_server():
    gc.set_threshold(700, 10, 10)
    AdmissionMiddleware(None, source=SettingsSource(None), registry=CollectorRegistry())

    assert gc.get_threshold()[0] == CONTAINERS
