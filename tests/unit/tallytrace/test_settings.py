from pathlib import Path

import pytest

from tallytrace.errors import SettingsError
from tallytrace.settings import Settings, as_environment, describe, load


def test_nothing_set_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({}) == Settings()
    assert load({"PATH": "/bin", "TALLYTRACE": "x"}) == Settings()


def test_the_environment_goes_before_the_file_before_the_default(tmp_path: Path) -> None:
    (tmp_path / "tallytrace.toml").write_text('core_port = 1111\nplane_port = 2222\nerp_url = "http://erp"\n')
    found = load({"TALLYTRACE_HOME": str(tmp_path), "TALLYTRACE_PLANE_PORT": "3333"})
    assert found == Settings(home=str(tmp_path), core_port=1111, plane_port=3333, erp_url="http://erp")


def test_the_file_is_the_one_named_then_that_of_home_then_that_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, folder in enumerate(["here", "home", "named"], start=1):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tallytrace.toml").write_text(f"workers = {number}\n")
    monkeypatch.chdir(tmp_path / "here")
    home = {"TALLYTRACE_HOME": str(tmp_path / "home")}
    named = tmp_path / "named" / "tallytrace.toml"
    assert load({}).workers == 1
    assert load(home).workers == 2
    assert load(home | {"TALLYTRACE_CONFIG": str(named)}).workers == 3
    assert load(home, named).workers == 3


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"TALLYTRACE_CORE_PROT": "1"},
            "TALLYTRACE_CORE_PROT: no such setting; the nearest is core_port (TALLYTRACE_CORE_PORT)",
        ),
        ({"TALLYTRACE_CORE_PORT": "high"}, "TALLYTRACE_CORE_PORT=high: Expected `int`, got `str`"),
        ({"TALLYTRACE_CORE_PORT": "65536"}, "TALLYTRACE_CORE_PORT=65536: Expected `int` <= 65535"),
        ({"TALLYTRACE_CORE_PORT": ""}, "TALLYTRACE_CORE_PORT=: Expected `int`, got `str`"),
        ({"TALLYTRACE_CLOCK": "sun"}, "TALLYTRACE_CLOCK=sun: Invalid enum value 'sun'"),
        ({"TALLYTRACE_HOME": ""}, "TALLYTRACE_HOME=: Expected `str` of length >= 1"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environment)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("core_prot = 1", "core_prot: no such setting; the nearest is core_port (TALLYTRACE_CORE_PORT)"),
        ("core_port = '1'", "Expected `int`, got `str` - at `$.core_port`"),
        ("core_port = ", "Invalid value (at end of document)"),
    ],
)
def test_a_wrong_file_is_refused_by_its_path(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load({}, path)
    assert str(refused.value) == f"{path}: {said}"


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load({"TALLYTRACE_CONFIG": str(tmp_path / "absent.toml")})


def test_a_child_process_builds_the_same_value(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), erp_url="http://a b/?c=ä", segment_max_age_seconds=0.125, clock="file")
    assert load(as_environment(settings)) == settings


def test_addresses_follow_the_ports_unless_they_are_named() -> None:
    settings = Settings(core_port=1, plane_host="0.0.0.0", plane_port=2, otlp_host="::1", otlp_port=3)
    assert settings.core_base == "http://127.0.0.1:1"
    assert settings.plane_base == "http://127.0.0.1:2"
    assert settings.collector_base == "http://[::1]:3"
    assert Settings(core_url="https://core.example/").core_base == "https://core.example"


def test_every_setting_says_what_it_means() -> None:
    assert [row.name for row in describe() if not row.meaning] == []
