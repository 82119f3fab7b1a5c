"""A sync core over a database of its own, and its API over a real socket."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from collector.segments import SegmentLog
from collector.storage import Storage
from sync_core.ledger.ledger import load_rules
from tests.core import Core, opened
from tests.estate import Estate, Tell, telling
from tests.serving import serving


@pytest.fixture
def posting_rules() -> str:
    """What is laid over the posting rules delivered."""
    return ""


@pytest.fixture
def core(postgres_url: str, posting_rules: str, home: Path) -> Iterator[Core]:
    with opened(postgres_url) as one:
        if posting_rules:
            (home / "rules.toml").write_text(posting_rules)
            one.rules = load_rules(override=str(home / "rules.toml"))
        yield one


@pytest.fixture
def http(core: Core, home: Path, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    with serving(core, home, free_port()) as client:
        yield client


@pytest.fixture
def estate(http: httpx.Client, core: Core) -> Estate:
    return Estate(http, core)


@pytest.fixture
def journey(core: Core, storage: Storage, log: SegmentLog) -> Tell:
    return telling(core, storage, log)
