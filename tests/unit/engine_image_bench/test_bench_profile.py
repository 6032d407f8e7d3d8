"""The profile: whole, short, and as a picture."""

import json
from xml.etree import ElementTree as ET

import pytest

from batchedllm.cli.simulate_profile import profile_of
from batchedllm.core.benchmark.profile import read_profile
from batchedllm_engine.bench.figures import Figures, Times
from batchedllm_engine.bench.knee import knee, sweet_spot
from batchedllm_engine.bench.picture import svg
from batchedllm_engine.bench.profile import LARGEST_BYTES, BatchPoint, PrefillPoint, Profile, knots, typical

PROMPTS = [PrefillPoint(512, 0.02), PrefillPoint(2048, 0.07, 0.046)]


def point(batch, step_seconds, *, told=True, median=None):
    waits = Times(1.2 * step_seconds, step_seconds if median is None else median, 1.5 * step_seconds, 2 * step_seconds)
    tokens = round(100 * batch / step_seconds / 100)
    seen = Figures(1.0, batch, 0, 2 * tokens, tokens, Times(0.05, 0.05, 0.1, 0.2), waits, waits, Times(1, 1, 1, 1))
    return BatchPoint(batch, seen, batch - 0.4, step_seconds) if told else BatchPoint(batch, seen)


def profile(batches=(1, 8, 64), **differs):
    curve = [point(batch, 0.005 + batch * 3e-5) for batch in batches]
    points = [one.point for one in curve]
    fields = {
        "at": "2026-01-02T03:04:05Z",
        "gpu": "NVIDIA H200",
        "gpus": 1,
        "model": "org/<model>",
        "engine_version": "0.32.0",
        "measured_by": "batchedllm_engine",
        "prompt_tokens": 256,
        "output_tokens": 128,
        "kv_cache_tokens": 900_000,
        "curve": curve,
        "prefill": PROMPTS,
        "knee": knee(points),
        "limit_seconds": 0.2,
        "sweet_spot": sweet_spot(points, 0.2),
    }
    return Profile(**(fields | differs))


def test_steps_are_the_engines_where_it_tells_and_else_the_clients_median():
    assert knots([point(8, 0.006)], []) == [(8, 0.006)]
    assert knots([point(8, 0.006, told=False)], []) == [(8, 0.006)]
    assert knots([point(8, 0.006, told=False, median=0.0)], []) == [(8, pytest.approx(0.0072))]


def test_a_prompt_is_a_step_only_beyond_the_batches():
    assert [tokens for tokens, _ in knots([point(600, 0.02)], PROMPTS)] == [600, 2048]


def test_a_prompt_takes_what_the_engine_says_and_else_what_the_client_waited():
    assert dict(knots([point(1, 0.005)], PROMPTS)) == {1: 0.005, 512: 0.02, 2048: 0.046}
    assert profile().to_json()["prefill"][1] == {"tokens": 2048, "seconds": 0.07, "stepSeconds": 0.046}


def test_a_prompt_that_stalled_once_moves_neither_clock():
    tries = [PrefillPoint(512, 0.020, 0.012), PrefillPoint(512, 9.0, 8.9), PrefillPoint(512, 0.022, 0.013)]

    assert typical(tries) == PrefillPoint(512, 0.022, 0.013)


def test_of_prompts_the_engine_tells_as_many_as_it_tells():
    assert typical([PrefillPoint(512, 0.020), PrefillPoint(512, 0.030, 0.012)]) == PrefillPoint(512, 0.025, 0.012)
    assert typical([PrefillPoint(512, 0.020)]) == PrefillPoint(512, 0.020)


def test_the_simulator_reads_the_profile(tmp_path):
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(profile().to_json()))

    read = profile_of(str(file))

    assert read.times.gpu == "NVIDIA H200"
    assert read.times.linear_seconds(8) == pytest.approx(0.005 + 8 * 3e-5)
    assert read.kv_cache_tokens == 900_000


def test_the_simulator_and_the_operator_read_the_short_form_too(tmp_path):
    file = tmp_path / "profile.json"
    file.write_bytes(profile().short())

    read = read_profile(json.loads(file.read_text()), at="", asked_by="", image="engine:1")

    assert profile_of(str(file)).times.linear_seconds(2048) == pytest.approx(0.046)
    assert [one.batch for one in read.curve] == [1, 8, 64]
    assert (read.knee, read.sweet_spot, read.is_knee_reached) == (64, 64, False)


def test_the_short_form_always_fits_into_a_termination_message():
    long = profile(range(1, 200), left_out=["something that took long " * 40] * 9)

    assert len(long.short()) <= LARGEST_BYTES
    assert json.loads(long.short())["curve"][-1]["batch"] == 199


def test_what_was_not_measured_is_missing():
    bare = profile(kv_cache_tokens=None, knee=None, limit_seconds=None).to_json()

    assert not {"kvCacheTokens", "knee", "sweetSpot", "static"} & set(bare)


def test_the_picture_is_drawn_and_safe():
    drawn = ET.fromstring(svg(profile().to_json()))

    words = "".join(drawn.itertext())
    assert "org/<model> on NVIDIA H200" in words
    assert "no knee yet: 64" in words


def test_without_a_curve_there_is_no_picture():
    with pytest.raises(ValueError, match="without a curve"):
        svg({**profile().to_json(), "curve": []})
