"""Files that change while the server runs."""

from pathlib import Path

import pytest

from batchedllm_engine.middleware.__main__ import main
from batchedllm_engine.middleware.configuration import Configuration, ConfigurationError
from batchedllm_engine.middleware.settings import Settings, SettingsSource


class Files(dict):
    """Contents by path, as the source reads them."""

    def __call__(self, path: Path) -> bytes:
        if str(path) not in self:
            raise ConfigurationError(f"{path}: cannot be read")
        return self[str(path)]


def test_without_a_path_the_defaults_hold_and_nothing_changes():
    source = SettingsSource(None)
    assert source.poll() == Settings(Configuration())
    assert source.poll() is None


def test_each_change_is_seen_once_and_the_keys_are_part_of_it():
    files = Files({"c": b"apiKeys: {file: k}", "k": b"keys: [{name: a, key: 12345678, class: default}]"})
    files["k"] = b"keys: [{name: a, key: first-key, class: default}]"
    source = SettingsSource(Path("c"), files)
    assert source.poll().keys.find(b"first-key")
    assert source.poll() is None
    files["k"] = b"keys: [{name: a, key: second-key, class: default}]"
    read = source.poll()
    assert (read.keys.find(b"first-key"), source.poll()) == (None, None)


def test_a_configuration_that_has_not_changed_is_not_parsed_again():
    files = Files({"c": b"apiKeys: {file: k}", "k": b"keys: [{name: a, key: first-key, class: default}]"})
    source = SettingsSource(Path("c"), files)
    before = source.poll()
    files["k"] = b"keys: [{name: a, key: second-key, class: default}]"

    assert source.poll().configuration is before.configuration


@pytest.mark.parametrize(
    "bad",
    [
        {"c": b"limits: 1"},
        {"k": b"keys: []"},
        {"c": b"classes: [{name: b, rank: 0, default: true}]\napiKeys: {file: k}"},
    ],
)
def test_a_bad_change_is_told_once_and_the_good_one_after_it_is_used(bad):
    good = {"c": b"apiKeys: {file: k}", "k": b"keys: [{name: a, key: first-key, class: default}]"}
    files = Files(good)
    source = SettingsSource(Path("c"), files)
    assert source.poll() is not None
    files.update(bad)
    with pytest.raises(ConfigurationError):
        source.poll()
    assert source.poll() is None
    files.update(good)
    assert source.poll() is not None


def test_a_file_that_goes_away_is_a_bad_change():
    files = Files({"c": b"{}"})
    source = SettingsSource(Path("c"), files)
    source.poll()
    del files["c"]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        source.poll()
    assert source.poll() is None


def test_links_that_are_swapped_as_kubernetes_does_are_seen(tmp_path):
    for name, text in (("one", "limits: {runningRequests: 1}"), ("two", "limits: {runningRequests: 2}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    (tmp_path / "data").symlink_to("one")
    source = SettingsSource(tmp_path / "data" / "config.yaml")
    assert source.poll().configuration.limits.running_requests == 1
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    assert source.poll().configuration.limits.running_requests == 2


def test_the_command_checks_a_file(tmp_path, capsys):
    file = tmp_path / "c.yaml"
    file.write_text("limits: {runningRequests: 0}")
    assert main([str(file)]) == 2
    assert "limits.runningRequests 0" in capsys.readouterr().err
    file.write_text("{}")
    assert main([str(file)]) == 0
    assert main([str(tmp_path / "none")]) == 2
    assert "is it mounted?" in capsys.readouterr().err
