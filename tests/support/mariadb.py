"""A real MariaDB on loopback, as Debian's `mariadb-server` ships it."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Final, Literal, Self

import pymysql

from tests.support.process import ServerProcess, data_directory, free_port, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_START_SECONDS = 30
_SIGNALS = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}

#: Debian keeps the server where a plain user's PATH does not look.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])

Mode = Literal["fast", "immediate"]

#: Lawful settings that break code which trusts the server's defaults: local time that is not UTC,
#: and TIMESTAMP columns that get a default and an ON UPDATE nobody wrote.
AWKWARD: Final[Mapping[str, str]] = {
    "default-time-zone": "+08:00",
    "explicit-defaults-for-timestamp": "OFF",
}


class MariaDbServer:
    """A server with a data directory of its own; a context manager.

    Args:
        settings: more of my.cnf, such as `AWKWARD`.
    """

    user = "outhaul"
    password = "outhaul-test-password"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self._directory = data_directory("outhaul-mariadb", plain_user=True)
        self._process = ServerProcess(
            self._command(settings or {}), self._directory / "mariadb.log", plain_user=True
        )

    @classmethod
    def missing(cls) -> str | None:
        """The command that would install the server, or None if it is here."""
        here = _program("mariadbd") and _program("mariadb-install-db")
        return None if here else "apt-get install --yes mariadb-server"

    def __enter__(self) -> Self:
        self._make_data()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop("immediate")
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start the server, or start it again on the same port and data."""
        self._process.start(self._accepts_connections, _START_SECONDS)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server; `immediate` is a crash that the next start recovers from."""
        self._process.stop(_SIGNALS[mode])

    def restart(self, mode: Mode = "immediate") -> None:
        """Stop and start."""
        self.stop(mode)
        self.start()

    def url(self, database: str = "mysql") -> str:
        """The SQLAlchemy URL of a database."""
        login = f"{self.user}:{self.password}@127.0.0.1:{self.port}"
        return f"mysql+pymysql://{login}/{database}?charset=utf8mb4"

    def create_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that `create_database` made."""
        name = url.rpartition("/")[2].partition("?")[0]
        self._execute(f"DROP DATABASE `{name}`")

    def _execute(self, statement: str) -> None:
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _accepts_connections(self) -> bool:
        try:
            self._connect().close()
        except pymysql.OperationalError:
            return False
        return True

    def _connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            connect_timeout=5,
        )

    def _make_data(self) -> None:
        command = [
            _program("mariadb-install-db") or "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self._directory / 'data'}",
            # Its temporary tables are named by process id: a container's clash in a shared /tmp.
            f"--tmpdir={self._directory}",
            "--skip-test-db",
            "--skip-name-resolve",
        ]
        run(command, self._directory, plain_user=True)
        self._init_file.write_text(
            f"CREATE USER IF NOT EXISTS '{self.user}'@'127.0.0.1'"
            f" IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        self._init_file.chmod(0o644)

    def _command(self, settings: Mapping[str, str]) -> list[str]:
        options = {
            "datadir": str(self._directory / "data"),
            "tmpdir": str(self._directory),
            "socket": "mariadb.sock",  # relative to datadir: an absolute path may be too long
            "pid-file": str(self._directory / "data" / "mariadb.pid"),
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "init-file": str(self._init_file),
            **settings,
        }
        return [
            _program("mariadbd") or "mariadbd",
            "--no-defaults",
            "--skip-name-resolve",
            *(f"--{key}={value}" for key, value in options.items()),
        ]

    @property
    def _init_file(self) -> Path:
        # It makes the account at every start, which spares a bootstrap through the socket.
        return self._directory / "init.sql"


def _program(name: str) -> str | None:
    return shutil.which(name, path=_PATH)
