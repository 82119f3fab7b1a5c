"""One process of the product in the foreground: core, plane or a worker, until it is told to stop."""

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import Final

import msgspec

from tallytrace import lifeline, postgres
from tallytrace.presence import Presence, Role, claimed
from tallytrace.settings import Settings, local_url

log = logging.getLogger(__name__)

SWITCH_SECONDS: Final = 0.0005
"""A thread that has its answer waits so long for one that computes: by default ten times that, at every statement."""
PREDECESSOR_SECONDS: Final = 60.0  # a process whose supervisor was killed finishes its work before it leaves


def run(role: Role, settings: Settings, *, supervised: bool) -> None:
    """Raises AlreadyRunningError, PostgresError or NotServedError."""
    gc.set_threshold(50_000, 20, 50)  # rows and spans come by the ten thousand, none of them in a circle
    sys.setswitchinterval(SWITCH_SECONDS)
    until = stop_event()
    if supervised:
        lifeline.end_with_parent()
    served = {
        "core": local_url(settings.core_host, settings.core_port),
        "plane": local_url(settings.plane_host, settings.plane_port),
    }
    here = Presence(
        role=role,
        pid=os.getpid(),
        url=served.get(role, ""),
        collector_url=local_url(settings.otlp_host, settings.otlp_port) if role == "plane" else "",
    )
    with contextlib.ExitStack() as undo:
        wait = PREDECESSOR_SECONDS if supervised else 0.0
        undo.enter_context(claimed(settings.directory, here, wait_seconds=wait))
        if not settings.postgres_url:
            url = undo.enter_context(postgres.serving(settings.directory))
            settings = msgspec.structs.replace(settings, postgres_url=url)
        process = import_module(
            f"tallytrace.{role.partition('-')[0]}"
        )  # by name: core must not wait for the pages to be imported
        process.run(settings, until)


def stop_event() -> threading.Event:
    """Set when the process is asked to stop by SIGTERM or SIGINT."""
    until = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        log.info("stopping on %s", signal.Signals(number).name)
        until.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return until
