"""A stand-in for an owner's pager: it takes pages over HTTP, keeps them, and passes each one on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from typing import Final

import msgspec

from alerts.page import Page
from tallytrace import stub_server

MOST_KEPT: Final = 1000
MOST_BYTES: Final = 512 * 1024


class Pager:
    """Pages by idempotency key, in the order of their arrival; one that comes again is answered and not passed on."""

    def __init__(self, on_page: Callable[[Page], None]) -> None:
        self._on_page = on_page
        self._pages: dict[str, msgspec.Raw] = {}
        self._lock = threading.Lock()

    def take(self, key: str, body: bytes) -> int:
        """The status to answer with."""
        try:
            page = msgspec.json.decode(body, type=Page)
        except msgspec.DecodeError:
            return 400
        with self._lock:
            if key in self._pages:
                return 200
            self._pages[key] = msgspec.Raw(body)
            if len(self._pages) > MOST_KEPT:
                del self._pages[next(iter(self._pages))]
        self._on_page(page)
        return 202

    def kept(self) -> bytes:
        with self._lock:
            return msgspec.json.encode(list(self._pages.values()))


@contextmanager
def serving(pager: Pager, port: int) -> Iterator[str]:
    """The pager's URL: POST a page to it, GET all of them from it."""

    def take(_path: str, headers: Message, body: bytes) -> int:
        return pager.take(headers.get("Idempotency-Key", ""), body)

    with stub_server.serving("pager", port, take, lambda _path: pager.kept(), most_bytes=MOST_BYTES) as url:
        yield f"{url}/pages"
