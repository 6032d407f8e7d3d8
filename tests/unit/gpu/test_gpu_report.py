"""docs/gpu.md says what the committed results say, of failures as plainly as of what passed."""

import pytest

from gpu import agree, report, results
from gpu.picture import draw

FOUND = results.read(report.RESULTS)


def test_the_page_is_as_the_committed_results_have_it():
    assert report.run(check=True) == []


def test_a_case_that_was_not_run_broke_off_or_missed_a_check_is_told_as_such():
    check = {"what": "error, %", "value": 4.56789, "bound": "at most 3", "holds": False}
    told = report.cases(
        {
            "burst": {"error": "", "passed": True, "checks": []},
            "guard": {"error": "OutOfTimeError: no time", "passed": False, "checks": []},
            "overhead": {"error": "", "passed": False, "checks": [check]},
        }
    )

    assert "| burst | passed |" in told
    assert "| guard | **broke off** | OutOfTimeError: no time |" in told
    assert "| overhead | **missed a check** | error, %: 4.57, expected at most 3 |" in told
    assert "| priority | **not run** |" in told


def test_what_was_run_again_stands_beside_the_first():
    again = {**FOUND["burst"], "machine": {"commit": "feedbee" + 33 * "0"}}

    told = report.parts(FOUND, {"burst": again})["gpu burst"]

    assert "| commit feedbee |" in told
    assert (
        len(told.splitlines()[-1].split("|"))
        == len(report.parts(FOUND, {})["gpu burst"].splitlines()[-1].split("|")) + 1
    )


def test_the_picture_is_drawn_from_the_results(tmp_path):
    draw(FOUND, tmp_path / "picture.png")

    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_simulators_profile_puts_what_long_contexts_cost_on_their_tokens():
    bench = {"gpu": "G", "knots": [[1, 0.004], [32, 0.008]]}
    counters = {
        "decode_steps_total": {"8": 10.0, "32": 100.0},
        "decode_step_requests_total": {"8": 50.0, "32": 3200.0},
        "decode_step_seconds_total": {"8": 1.0, "32": 1.0},
    }

    found = agree.profile({"engineMetrics": counters, "meanContextTokens": 1000.0}, bench)

    assert found["knots"] == [[1, 0.004], [32, 0.008]]
    assert found["secondsPerContextToken"] == pytest.approx((0.010 - 0.008) / 32_000)


def test_what_the_simulator_says_is_held_against_what_was_lived():
    lived = {"wanted": [[0.0, 1], [10.0, 3], [60.0, 1]], "ttftP50Seconds": 1.0, "ttftP99Seconds": 10.0}
    same = agree.Played(agree.Curve(((0.0, 1), (12.0, 3))), (1.0, 1.0, 12.0))

    found = agree.against(lived, [same])

    assert found["ttftP99ErrorPercent"] == pytest.approx(20.0)
    assert found["agreement"] == 1.0
    assert found["wanted"][0] == [0, 1]
