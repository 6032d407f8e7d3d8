"""Room on the disk: said before it is missing, not when pods are gone."""

from types import SimpleNamespace

from testbed.configuration import KEPT_FREE_PERCENT, kubelet
from testbed.definition import ClusterDefinition
from testbed.room import FIRST_BYTES, LATER_BYTES, shortage, shortage_for


def test_what_the_kubelet_keeps_free_is_needed_beside_what_is_written():
    assert shortage(LATER_BYTES + 1e9, 100e9, is_first=False) == ""
    assert shortage(LATER_BYTES + 0.9e9, 100e9, is_first=False).startswith("6 GB are free, 6 GB are needed: builds may")


def test_the_first_time_takes_more():
    words = shortage(20e9, 252e9, is_first=True)

    assert words.startswith("20 GB are free, 30 GB are needed the first time")
    assert shortage(20e9, 252e9, is_first=False) == ""
    assert shortage(FIRST_BYTES + 2.52e9, 252e9, is_first=True) == ""


def test_a_store_that_is_not_there_yet_is_the_first_time(tmp_path):
    disk = SimpleNamespace(total=100_000_000_000, free=20_000_000_000)

    words = shortage_for(tmp_path / "cache/image-store-0", lambda _: disk)

    assert words.startswith(f"on the disk of {tmp_path} 20 GB are free, 28 GB are needed the first time")
    assert shortage_for(tmp_path, lambda _: disk) == ""


def test_the_kubelet_keeps_what_is_said(tmp_path):
    text = kubelet(ClusterDefinition(0, tmp_path / "state", tmp_path / "images"))

    assert text.count(f"available: {KEPT_FREE_PERCENT}%") == 2
