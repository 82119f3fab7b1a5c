from pathlib import Path

import pytest

from tallytrace.errors import AlreadyRunningError
from tallytrace.presence import Presence, claimed, find

PLANE = Presence(role="plane", pid=7, url="http://127.0.0.1:1", collector_url="http://127.0.0.1:2")


def test_a_role_is_found_while_it_is_held(tmp_path: Path) -> None:
    assert find(tmp_path, "plane") is None
    with claimed(tmp_path, PLANE):
        assert find(tmp_path, "plane") == PLANE
        assert find(tmp_path, "core") is None
    assert find(tmp_path, "plane") is None


def test_a_role_has_one_holder(tmp_path: Path) -> None:
    with claimed(tmp_path, PLANE):
        said = r"plane of .* already runs as process 7 on http"
        other = claimed(tmp_path, Presence(role="plane", pid=8))
        with pytest.raises(AlreadyRunningError, match=said), other:
            pass
        assert find(tmp_path, "plane") == PLANE
    with claimed(tmp_path, Presence(role="plane", pid=8)):
        assert find(tmp_path, "plane") == Presence(role="plane", pid=8)


def test_what_a_killed_holder_wrote_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plane.json").write_text('{"role":"plane","pid":7}')
    assert find(tmp_path, "plane") is None
