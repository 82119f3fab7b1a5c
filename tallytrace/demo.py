"""The whole product with a simulated retailer of 400 stores, to look at: `make demo`."""

import queue
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console

from alerts.page import Page, in_words
from lineage import brands
from tallytrace import marketplace_stub, pager, postgres, presence, supervisor, traffic
from tallytrace.errors import PostgresError, ServiceError
from tallytrace.estate import retailer
from tallytrace.estate.incidents import EVERY, Incident
from tallytrace.estate.kinds import WHAT, Kind
from tallytrace.estate.story import DAYS, Sights
from tallytrace.marketplace_stub import Marketplaces
from tallytrace.pager import Pager
from tallytrace.settings import BACKFILLING, Settings

MARKER: Final = ".tallytrace-demo"
BRANDS: Final = "brands.toml"
TOML: Final = Path(__file__).with_name("demo.toml")
SEED: Final = 1
STOP_SECONDS: Final = 30
POLL_SECONDS: Final = 0.5
BEGIN_SECONDS: Final = 10.0


class DemoError(RuntimeError):
    """The demo cannot start, or something that it started ended."""


class Ports(Struct, frozen=True):
    plane: int
    core: int
    otlp: int
    erp: int
    pager: int
    otlp_grpc: int
    marketplaces: int

    @classmethod
    def from_base(cls, base: int) -> "Ports":
        return cls(*range(base, base + 7))


class Seen(Struct):
    """What the demo has shown so far; the terminal and the exit status go by it."""

    slas: tuple[str, ...] = ()
    sights: bool = False
    pages: int = 0
    resolves: int = 0
    incidents: int = 0


class Child:
    """A module of the demo as a process: in a session of its own, so that a Ctrl-C reaches only the demo."""

    def __init__(self, module: str, arguments: list[str], log: Path) -> None:
        self._module = module
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"tallytrace.{module}", "--supervised", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def require_alive(self) -> None:
        """Raises DemoError with the end of what it printed."""
        if self._process.poll() is not None:
            end = self._log.read_text(errors="replace")[-2000:]
            raise DemoError(f"{self._module} ended with {self._process.returncode}:\n{end}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Demo:
    def __init__(self, home: Path, ports: Ports, console: Console, *, days: int, orders_per_second: float) -> None:
        self._home = home
        self._ports = ports
        self._console = console
        self._days = days
        self._orders_per_second = orders_per_second
        self._started = time.monotonic()
        self._received: queue.SimpleQueue[Page] = queue.SimpleQueue()
        self._children: list[Child] = []
        self._plane = httpx.Client(base_url=f"http://127.0.0.1:{ports.plane}", timeout=5, trust_env=False)
        self.seen = Seen()

    def run(self, seconds: float | None) -> None:
        """Until ``seconds`` have passed or a KeyboardInterrupt. Raises DemoError."""
        logs = self._home / "logs"
        logs.mkdir()
        (self._home / BACKFILLING).touch()  # until the history is told
        (self._home / BRANDS).write_text(brands.toml(retailer.BRANDS))
        core, erp = f"http://127.0.0.1:{self._ports.core}", f"http://127.0.0.1:{self._ports.erp}"
        state = str(self._home / "erp.jsonl")
        played = ["--home", str(self._home), "--seed", str(SEED), "--days", str(self._days),
                  "--orders-per-second", str(self._orders_per_second)]  # fmt: skip
        with ExitStack() as stack:
            stack.callback(self._plane.close)
            pages_url = stack.enter_context(pager.serving(Pager(self._received.put), self._ports.pager))
            sells = stack.enter_context(marketplace_stub.serving(Marketplaces(), self._ports.marketplaces))
            self._start(stack, "erp_stub", ["--port", str(self._ports.erp), "--state", state])
            stack.enter_context(supervisor.running(self._settings(erp, pages_url)))
            self._say("started; the estate opens its doors")
            self._start(stack, "traffic", ["--core", core, "--erp", erp, "--marketplaces", sells, *played])
            self._show(seconds)

    def _start(self, stack: ExitStack, module: str, arguments: list[str]) -> None:
        child = Child(module, arguments, self._home / "logs" / f"{module}.log")
        stack.callback(child.stop)
        self._children.append(child)

    def _settings(self, erp_url: str, pages_url: str) -> Settings:
        """Nothing is taken from the environment: the demo is the same for everybody."""
        return Settings(
            home=str(self._home),
            core_port=self._ports.core,
            plane_port=self._ports.plane,
            otlp_port=self._ports.otlp,
            otlp_grpc_port=self._ports.otlp_grpc,
            erp_url=erp_url,
            erp_requests_per_second=5,
            erp_concurrency=2,
            webhook_url=pages_url,
            slas_override=str(TOML),
            brands=str(self._home / BRANDS),
            sla_tick_seconds=5,
            alert_tick_seconds=2,
        )

    def _show(self, seconds: float | None) -> None:
        """Tell, as it becomes true, what there is to see; then pass on what the pager hears."""
        while seconds is None or self._elapsed() < seconds:
            self._require_alive()
            if len(self.seen.slas) < 3:
                self._tell_slas()
            elif not self.seen.sights:
                self._tell_sights()
            self._tell_incidents()
            self._tell_pages()

    def _tell_slas(self) -> None:
        answer = self._get("/v1/slas")
        states = {} if answer is None else sla_states(answer.content)
        measured = {name: state for name, state in states.items() if state != "no_data"}
        if len(measured) >= 3:
            self.seen.slas = tuple(measured)
            words = ", ".join(f"{name} {state}" for name, state in measured.items())
            self._say(f"[bold]the first page with data[/]; measured: {words}")

    def _tell_sights(self) -> None:
        path = self._home / traffic.SIGHTS
        if not path.exists():
            return
        named = msgspec.json.decode(path.read_bytes(), type=Sights)
        numbers = {
            named.shipped_order: "an order, shipped and in the books",
            named.refunded_return: "a return, with its refund",
            named.waiting_order: "an order that waits for stock, and whose it is",
        }
        numbers.pop("", None)
        if not all(self._opens(number) for number in numbers):
            return
        self.seen.sights = True
        base = f"http://127.0.0.1:{self._ports.plane}"
        self._console.print(f"\n[bold]{base}/ui/[/]   the promises, and one search box for any number\n")
        for number, what in numbers.items():
            self._console.print(f"  [bold]{number:<14}[/] {what:<48} {base}/ui/transaction/{quote(number)}")
        self._console.print(
            f"\nIn another terminal: export TALLYTRACE_HOME={self._home}, then .venv/bin/tallytrace trace"
            f" {named.refunded_return or named.shipped_order}, sla, overdue, verify."
            f" Spans of your own: OTLP/HTTP on port {self._ports.otlp},"
            f" OTLP/gRPC on {self._ports.otlp_grpc}."
        )
        self._console.print(
            f"Something goes wrong every {EVERY:.0f} s; have it go wrong now: .venv/bin/tallytrace demo fault KIND"
            f" --home {self._home}. Ctrl-C stops everything.\n"
        )

    def _tell_incidents(self) -> None:
        for incident in begun(self._home)[self.seen.incidents :]:
            self.seen.incidents += 1
            self._say(f"[bold]{incident.kind}[/] for {incident.seconds:.0f} s: {WHAT[incident.kind]}")

    def _tell_pages(self) -> None:
        try:
            page = self._received.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return
        if page.transition == "resolve":
            self.seen.resolves += 1
            self._say(f"[green bold]RESOLVED[/] {page.what}: {page.why}")
            return
        self.seen.pages += 1
        self._say(f"[red bold]PAGE[/] for {page.owner_title}: {page.what}")
        self._console.print(
            f"         {page.why}, {in_words(page.at_risk)} at risk, since {page.since:%Y-%m-%d %H:%M:%S} UTC"
        )
        self._console.print(f"         next: {page.next_step}\n         {page.link}")

    def _opens(self, number: str) -> bool:
        answer = self._get("/v1/transactions", id=number)
        return answer is not None and answer.status_code == 200

    def _get(self, path: str, **parameters: str) -> httpx.Response | None:
        try:
            return self._plane.get(path, params=parameters)
        except httpx.TransportError:
            return None

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]{self._elapsed():4.0f} s[/]  {text}")

    def _require_alive(self) -> None:
        for child in self._children:
            child.require_alive()

    def _elapsed(self) -> float:
        return time.monotonic() - self._started


def sla_states(body: bytes) -> dict[str, str]:
    """State by name, of the answer of GET /v1/slas."""

    class Tile(Struct):
        name: str
        state: str

    return {tile.name: tile.state for tile in msgspec.json.decode(body, type=list[Tile])}


def begun(home: Path) -> list[Incident]:
    """The incidents of a demo so far."""
    path = home / traffic.BEGUN
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [msgspec.json.decode(line, type=Incident) for line in lines if line.endswith(b"\n")]


def cause(home: Path, kind: Kind, seconds: float) -> Incident:
    """Have something go wrong in the demo that runs in ``home``. Raises DemoError."""
    if not (home / MARKER).exists() or presence.find(home.absolute(), "core") is None:
        raise DemoError(f"no demo runs in {home}; start one with `tallytrace demo`, or name its directory with --home")
    known = len(begun(home))
    with (home / traffic.ASKED).open("ab") as asked:
        asked.write(msgspec.json.encode(traffic.Asked(kind, seconds)) + b"\n")
    deadline = time.monotonic() + BEGIN_SECONDS
    while time.monotonic() < deadline:
        for incident in begun(home)[known:]:
            if incident.kind == kind:
                return incident
        time.sleep(POLL_SECONDS)
    raise DemoError(f"{kind} has not begun yet: it does when the demo's thirty days are told")


def prepare_home(home: Path) -> None:
    """An empty directory with our marker. Raises DemoError instead of wiping one that is not ours."""
    if home.exists() and any(home.iterdir()):
        if not (home / MARKER).exists():
            raise DemoError(f"{home} holds something that is not a demo's; name another directory with --home")
        if (home / "postgres" / "postmaster.pid").exists():  # a demo was killed, its database server was not
            with postgres.serving(home):
                pass  # whoever leaves last stops it
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARKER).touch()


def require_free(ports: Ports) -> None:
    for name, port in msgspec.structs.asdict(ports).items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise DemoError(f"port {port} ({name}) is taken; choose others with --port-base") from error


def stop_on_signals() -> None:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt once; while everything is being stopped they do nothing more."""

    def stop(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def run(
    home: Path, *, port_base: int, seconds: float | None = None, days: int = DAYS, orders_per_second: float = 2
) -> int:
    """The exit status: 0 when there was something to see, 1 when not, with the reason on the terminal."""
    console = Console(highlight=False, soft_wrap=True)
    home, ports = home.absolute(), Ports.from_base(port_base)
    demo = None
    try:
        stop_on_signals()
        require_free(ports)
        prepare_home(home)
        demo = Demo(home, ports, console, days=days, orders_per_second=orders_per_second)
        demo.run(seconds)
    except (DemoError, ServiceError, PostgresError) as error:
        console.print(f"[red]{error}[/]")
        return 1
    except KeyboardInterrupt:
        console.print("\nstopped")
    seen = demo.seen if demo else Seen()
    console.print(f"{seen.pages} pages, {seen.resolves} resolved; logs in {home / 'logs'}")
    return 0 if seen.sights or seconds is None else 1
