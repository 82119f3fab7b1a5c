"""docker-compose.yml without a container engine: everything it names exists, and its settings start the product."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import httpx
import psycopg
import pytest
import yaml

from collector.storage import Storage
from tallytrace.settings import Settings, describe, load
from tests import clickhouse_http

ROOT: Final = Path(__file__).parent.parent.parent
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
OURS: Final = ("core", "plane")
START_SECONDS: Final = 120
ORDER: Final = {
    "origin": "shop", "order_id": "C-1", "channel": "web", "location": "WH1", "currency": "GBP",
    "lines": [{"sku": "A", "quantity": 1, "amount_minor": 100}],
}  # fmt: skip


def interpolated(value: object) -> str:
    """``${NAME:-default}`` as it reads when nobody sets NAME."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))


def environment(service: str) -> dict[str, str]:
    return {name: interpolated(value) for name, value in SERVICES[service]["environment"].items()}


def health_url(service: str) -> str:
    test = " ".join(SERVICES[service]["healthcheck"]["test"])
    found = re.search(r"http://[^'\" ]+", test)
    assert found, test
    return found[0]


def test_the_four_services_are_there() -> None:
    assert set(SERVICES) == {"postgres", "clickhouse", *OURS}
    assert re.fullmatch(r"postgres:\d+", SERVICES["postgres"]["image"])
    assert re.fullmatch(r"clickhouse/clickhouse-server:26\.\d+", SERVICES["clickhouse"]["image"])
    assert {SERVICES[name]["image"] for name in OURS} == {COMPOSE["x-product"]["image"]}


def test_what_clickhouse_acknowledges_is_on_its_disk(storage: Storage) -> None:
    [place] = SERVICES["clickhouse"]["configs"]
    assert place["target"].startswith("/etc/clickhouse-server/config.d/")
    given = ElementTree.fromstring(COMPOSE["configs"][place["source"]]["content"])
    assert {one.tag: one.text for one in given.iterfind("merge_tree/*")} == {
        "fsync_after_insert": "1", "fsync_part_directory": "1",
    }  # fmt: skip
    known = storage.query("SELECT name FROM system.merge_tree_settings WHERE name LIKE 'fsync_%'")
    assert {one.tag for one in given.iterfind("merge_tree/*")} <= {name for (name,) in known}


@pytest.mark.parametrize("service", OURS)
def test_the_settings_are_known_and_valid(service: str) -> None:
    given = environment(service)
    assert set(given) <= {row.variable for row in describe()}
    settings = load(given)
    declared = {entry.split(":", 1)[0] for entry in SERVICES[service]["volumes"]}
    assert declared <= set(COMPOSE["volumes"])
    assert any(entry.endswith(f":{settings.home}") for entry in SERVICES[service]["volumes"])


@pytest.mark.parametrize("service", OURS)
def test_it_waits_for_the_databases_that_it_names(service: str) -> None:
    given = environment(service)
    named = {
        name
        for name, variable in (("postgres", "TALLYTRACE_POSTGRES_URL"), ("clickhouse", "TALLYTRACE_CLICKHOUSE_URL"))
        if variable in given
    }
    assert set(SERVICES[service]["depends_on"]) == named
    for name in named:
        assert SERVICES[service]["depends_on"][name]["condition"] == "service_healthy"
        assert SERVICES[name]["healthcheck"]["test"]


def test_the_databases_are_reached_as_they_were_made() -> None:
    plane = load(environment("plane"))
    postgres, clickhouse = environment("postgres"), environment("clickhouse")
    assert load(environment("core")).postgres_url == plane.postgres_url
    assert plane.postgres_url == (
        f"postgresql://{postgres['POSTGRES_USER']}:{postgres['POSTGRES_PASSWORD']}@postgres:5432/{postgres['POSTGRES_DB']}"
    )
    assert plane.clickhouse_url == (
        f"http://{clickhouse['CLICKHOUSE_USER']}:{clickhouse['CLICKHOUSE_PASSWORD']}"
        f"@clickhouse:8123/{clickhouse['CLICKHOUSE_DB']}"
    )


def test_ports_are_published_on_this_machine_only_and_are_served() -> None:
    core, plane = load(environment("core")), load(environment("plane"))
    assert SERVICES["core"]["ports"] == [f"127.0.0.1:{core.core_port}:{core.core_port}"]
    published = (plane.plane_port, plane.otlp_port, plane.otlp_grpc_port)
    assert SERVICES["plane"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in published]
    assert not any("ports" in SERVICES[name] for name in ("postgres", "clickhouse"))
    assert core.collector_base == f"http://plane:{plane.otlp_port}"
    assert plane.core_base == f"http://core:{core.core_port}"
    assert plane.plane_base == f"http://127.0.0.1:{plane.plane_port}"
    assert httpx.URL(health_url("core")).port == core.core_port
    assert httpx.URL(health_url("plane")).port == plane.plane_port


def test_the_image_is_built_from_what_is_here() -> None:
    build = COMPOSE["x-product"]["build"]
    assert build["context"] == "."
    copied = [
        source
        for line in build["dockerfile_inline"].splitlines()
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    ]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(copied)
    assert re.search(r"^uv==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    assert 'ENTRYPOINT ["python", "-m", "tallytrace"]' in build["dockerfile_inline"]


class Place:
    """This machine in place of the containers' network: hosts are loopback, each port a free one, homes directories."""

    def __init__(self, home: Path, engines: Mapping[str, str], free_port: Callable[[], int]) -> None:
        self._home = home
        self._engines = engines
        plane, core = load(environment("plane")), load(environment("core"))
        ports = (core.core_port, plane.plane_port, plane.otlp_port, plane.otlp_grpc_port)
        self._ports = {str(port): str(free_port()) for port in ports}

    def settings(self, service: str) -> dict[str, str]:
        moved = {name: self.here(value) for name, value in environment(service).items()}
        moved["TALLYTRACE_HOME"] = str(self._home / service)
        return moved | {name: url for name, url in self._engines.items() if name in moved}

    def here(self, value: str) -> str:
        local = re.sub(r"(?<=//)(core|plane)(?=:)", "127.0.0.1", value).replace("0.0.0.0", "127.0.0.1")
        return re.sub(r"(?:(?<=:)|^)\d+(?=/|$)", lambda found: self._ports.get(found[0], found[0]), local)


@contextmanager
def started(service: str, place: Place, directory: Path) -> Iterator[Settings]:
    """The service's own command, with its settings and no other, until it says that it is healthy."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TALLYTRACE_")}
    variables = place.settings(service)
    log = directory / f"{service}.log"
    command = [sys.executable, "-m", "tallytrace", *SERVICES[service]["command"]]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, env=inherited | variables, stdout=output, stderr=output) as process,
    ):
        try:
            wait_until_healthy(place.here(health_url(service)), process, log)
            yield load(variables)
            process.terminate()
            assert process.wait(START_SECONDS) == 0
        finally:
            process.kill()


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def test_core_and_plane_start_with_exactly_these_settings(
    home: Path, postgres_url: str, free_port: Callable[[], int]
) -> None:
    login = environment("clickhouse")
    with ExitStack() as undo:
        clickhouse = clickhouse_http.running(
            home / "clickhouse", free_port(), database=login["CLICKHOUSE_DB"],
            user=login["CLICKHOUSE_USER"], password=login["CLICKHOUSE_PASSWORD"],
        )  # fmt: skip
        engines = {
            "TALLYTRACE_POSTGRES_URL": postgres_url,
            "TALLYTRACE_CLICKHOUSE_URL": undo.enter_context(clickhouse),
        }
        place = Place(home, engines, free_port)
        core = undo.enter_context(started("core", place, home))
        plane = undo.enter_context(started("plane", place, home))
        take_an_event(core)
        wait_until_told(plane)
        before = availability_as_of(core)
        while availability_as_of(core) == before:
            time.sleep(0.1)
        with psycopg.connect(postgres_url) as connection:
            schemas = connection.execute("SELECT nspname::text FROM pg_namespace WHERE nspname IN ('core', 'alerts')")
            assert sorted(row[0] for row in schemas) == ["alerts", "core"]
        assert httpx.get(f"{plane.plane_base}/ui/", trust_env=False, verify=False).status_code == 200
        assert not (Path(core.home) / "postgres").exists(), "no embedded server beside the one that is named"
        assert not (Path(plane.home) / "clickhouse").exists(), "no embedded engine beside the server that is named"


def take_an_event(core: Settings) -> None:
    event = {
        "specversion": "1.0", "id": "1", "source": "shop", "type": "tallytrace.order.captured.v1",
        "time": "2026-03-01T09:00:00Z", "data": ORDER,
    }  # fmt: skip
    answer = httpx.post(f"{core.core_base}/v1/events", json=event, trust_env=False, verify=False)
    assert answer.status_code == 202, answer.text


def availability_as_of(core: Settings) -> str:
    """When what channels are told was read last: it goes on by itself."""
    answer = httpx.get(f"{core.core_base}/v1/availability", params={"sku": "A1"}, trust_env=False, verify=False)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["as_of"])


def wait_until_told(plane: Settings) -> None:
    deadline = time.monotonic() + START_SECONDS
    while httpx.get(f"{plane.plane_base}/v1/transactions/C-1", trust_env=False, verify=False).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
