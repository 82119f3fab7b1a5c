"""Keys of senders: told once, kept as digests, counted at once, withdrawn within a second."""

import math
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.intake import ANYONE, Sender
from tallytrace import cli, keys
from tallytrace.errors import KeyRefusedError, NoKeyError
from tallytrace.settings import Settings


def settings(home: Path, **more: str) -> Settings:
    return Settings(home=str(home), **more)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOK_AGAIN_SECONDS", 0.0)


def test_a_key_counts_until_it_is_removed_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    here = settings(tmp_path, otlp_host="0.0.0.0")
    first = keys.add(here, "till", spans_per_second=50)
    second = keys.add(here, "shop")
    senders = keys.Senders(here)
    assert senders.find(first) == Sender("till", 50.0, math.inf)
    assert senders.find(second) == Sender("shop")
    assert (senders.find(""), senders.find(first + "x")) == (None, None)
    kept = tmp_path / keys.FILE_NAME
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert first not in kept.read_text()
    keys.remove(here, "till")
    assert (senders.find(first), senders.find(second)) == (None, Sender("shop"))


def test_on_loopback_no_key_is_needed_but_one_that_is_given_must_be_known(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        senders = keys.Senders(settings(tmp_path, otlp_host=host))
        assert senders.find("") == ANYONE
        assert senders.find("unknown") is None


def test_our_own_key_is_a_setting(tmp_path: Path) -> None:
    senders = keys.Senders(settings(tmp_path, otlp_host="0.0.0.0", collector_key="ours"))
    assert senders.find("ours") == Sender("tallytrace")
    assert senders.find("") is None


def test_a_port_that_is_open_to_others_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(NoKeyError, match="tallytrace keys add NAME"):
        keys.Senders(settings(tmp_path, otlp_host="0.0.0.0"))


def test_what_cannot_be_added_removed_or_read_says_why(tmp_path: Path) -> None:
    here = settings(tmp_path)
    keys.add(here, "till")
    with pytest.raises(KeyRefusedError, match="a key for till already"):
        keys.add(here, "till")
    with pytest.raises(KeyRefusedError, match="no key for shop; there are till"):
        keys.remove(here, "shop")
    (tmp_path / keys.FILE_NAME).write_text("{")
    with pytest.raises(KeyRefusedError, match=r"keys\.json"):
        keys.read(here)


def test_the_command_line_tells_a_key_once(tmp_path: Path) -> None:
    run, environment = CliRunner().invoke, {"TALLYTRACE_HOME": str(tmp_path)}
    added = run(cli.app, ["keys", "add", "till", "--bytes-per-second", "1000000"], env=environment)
    assert added.exit_code == 0
    assert keys.Senders(settings(tmp_path)).find(added.stdout.strip()) == Sender("till", math.inf, 1_000_000.0)
    told = run(cli.app, ["keys", "list"], env=environment).stdout
    assert "till" in told
    assert "1,000,000" in told
    assert run(cli.app, ["keys", "add", "till"], env=environment).exit_code == 2
    assert run(cli.app, ["keys", "remove", "till"], env=environment).exit_code == 0
    assert keys.read(settings(tmp_path)) == []
