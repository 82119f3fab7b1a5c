"""The benchmark of settlements, as somebody runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("form", [["--json"], []])
def test_it_keeps_and_matches_every_line(home: Path, form: list[str]) -> None:
    command = [sys.executable, "-m", "tallytrace", "bench", "settlements", "--settled", "1000", *form]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    if form:
        told = json.loads(done.stdout)
        assert told["settlements.report"]["lines"] == 1000
        assert told["settlements.match_seconds_per_million"]["value"] > 0
        assert (told["settlements.report"]["postings"]["journals"], told["ledger.postings_per_s"]["must"]) == (
            20_000,
            10_000,
        )
    else:
        assert "matches told a second" in done.stdout
