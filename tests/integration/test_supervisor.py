"""The product's processes as a user meets them: started, killed, found again, stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest

from sync_core.messages import TYPE_OF, StockReceived
from tallytrace import presence
from tallytrace.errors import ServiceError
from tallytrace.presence import Presence
from tallytrace.settings import Settings, as_environment
from tallytrace.supervisor import READY_SECONDS, ROLES, running
from tests.factories import cloudevent, goods_in

WAIT_SECONDS = 90


@pytest.fixture
def settings(home: Path, free_port: Callable[[], int]) -> Settings:
    core, plane, otlp, grpc = (free_port() for _ in range(4))
    return Settings(home=str(home), core_port=core, plane_port=plane, otlp_port=otlp, otlp_grpc_port=grpc, workers=1)


def wait_for(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_SECONDS} s until {what}"
        time.sleep(0.05)


def found(settings: Settings, role: presence.Role) -> Presence:
    holder = presence.find(settings.directory, role)
    assert holder is not None, f"nobody is {role}"
    return holder


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, trust_env=False, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def postgres_runs(settings: Settings) -> bool:
    return (settings.directory / "postgres" / "postmaster.pid").exists()


def nothing_runs(settings: Settings) -> bool:
    return not any(presence.find(settings.directory, role) for role in ROLES) and not postgres_runs(settings)


@contextmanager
def served(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`tallytrace serve` in a process of its own, once it says that it is ready."""
    command = [sys.executable, "-m", "tallytrace", "serve"]
    log = settings.directory / "serve.log"
    with (
        log.open("ab") as output,
        subprocess.Popen(command, env=os.environ | as_environment(settings), stdout=output, stderr=output) as process,
    ):
        try:
            wait_for("it is served", lambda: is_ready(settings.plane_base) and is_ready(settings.core_base))
            yield process
        finally:
            process.kill()


def test_what_a_command_starts_it_stops(settings: Settings) -> None:
    with running(settings) as product:
        assert is_ready(product.core_url)
        assert is_ready(product.plane_url)
        assert is_ready(product.collector_url)
        pids = {role: found(settings, role).pid for role in ROLES}
        with running(settings) as same:
            assert same == product
            assert {role: found(settings, role).pid for role in ROLES} == pids
        assert is_ready(product.core_url), "the inner one found it running and left it so"
        for role in ROLES:
            os.kill(pids[role], signal.SIGKILL)
        wait_for("core is back", lambda: is_ready(product.core_url))
        wait_for("plane is back", lambda: is_ready(product.plane_url))
        assert not {found(settings, role).pid for role in ROLES} & set(pids.values())
    assert nothing_runs(settings)


def test_a_worker_process_that_is_killed_is_started_again_and_nothing_waits(settings: Settings) -> None:
    apart = msgspec.structs.replace(settings, worker_processes=1)
    with (
        running(apart) as product,
        httpx.Client(base_url=product.core_url, timeout=30, trust_env=False, verify=False) as core,
    ):

        def given(number: int) -> None:
            event = cloudevent(goods_in(f"D{number}"), f"{number}", type=TYPE_OF[StockReceived])
            assert core.post("/v1/events", json=event).json()["accepted"] == 1

        given(1)
        wait_for("it is processed", lambda: core.get("/v1/status").json()["inbox_queued"] == 0)
        first = found(apart, "worker-1").pid
        os.kill(first, signal.SIGKILL)
        given(2)
        wait_for("it is processed again", lambda: core.get("/v1/status").json()["inbox_queued"] == 0)
        assert found(apart, "worker-1").pid != first
        units = core.get("/v1/availability", params={"sku": "A1"}).json()["items"][0]["locations"][0]["good"]
        assert units == 2 * goods_in().lines[0].quantity
    assert presence.find(settings.directory, "worker-1") is None
    assert nothing_runs(settings)


def test_what_a_person_must_mend_is_said_at_once(settings: Settings) -> None:
    override = settings.directory / "mine.toml"
    override.write_text('[refund_to_ledger]\ndeadline = "soon"\n')
    began = time.monotonic()
    with (
        pytest.raises(ServiceError, match=r"plane does not start: tallytrace: .*mine.toml.*soon"),
        running(msgspec.structs.replace(settings, slas_override=str(override))),
    ):
        pass
    assert time.monotonic() - began < READY_SECONDS / 2
    assert nothing_runs(settings)


def test_serve_outlives_kills_and_stops_in_order(settings: Settings) -> None:
    with served(settings) as first:
        second = subprocess.run(
            [sys.executable, "-m", "tallytrace", "serve"],
            env=os.environ | as_environment(settings), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert f"supervisor of {settings.directory} already runs" in second.stderr
        server = psutil.Process(int((settings.directory / "postgres" / "postmaster.pid").read_text().split("\n")[0]))
        server.kill()
        wait_for("PostgreSQL is back", lambda: is_ready(settings.core_base) and not alive(server))
        first.kill()
        wait_for("its processes have left", lambda: not any(presence.find(settings.directory, role) for role in ROLES))
    assert postgres_runs(settings), "nobody was left to stop it"
    with served(settings) as again:
        again.terminate()
        assert again.wait(WAIT_SECONDS) == 0
    assert nothing_runs(settings)


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
