"""No key of the promises delivered can be left out or changed without an expectation of a story that is missed."""

import contextlib
from collections.abc import Callable
from types import ModuleType

import pytest

from collector import otlp
from collector.segments import SegmentLog
from collector.storage import Storage
from tests.integration import test_finance_promises_over_http, test_promises_over_http
from tests.promises import unnoticed

pytestmark = pytest.mark.long


@pytest.mark.parametrize("story", [test_promises_over_http, test_finance_promises_over_http], ids=["orders", "finance"])
def test_no_promise_changes_unnoticed(
    story: ModuleType, postgres_server: str, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> None:
    with contextlib.closing(Storage.connect(f"chdb://{tmp_path_factory.mktemp('clickhouse')}")) as storage:
        storage.migrate()
        with SegmentLog(tmp_path_factory.mktemp("log"), storage.insert_segment, otlp.normalised) as log:
            story.tell_story(postgres_server, log, free_port(), tmp_path_factory.mktemp("files"))
        directory = tmp_path_factory.mktemp("changed")
        assert unnoticed(storage, story.END, free_port(), story.EXPECTED, directory) == []
