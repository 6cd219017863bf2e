"""A real PostgreSQL on loopback, from whatever version this machine has."""

from __future__ import annotations

import shutil
import signal
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import psycopg
from psycopg import sql

from tests.support.process import ServerProcess, data_directory, free_port, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_START_SECONDS = 30

#: What `pg_ctl stop -m` sends; `kill` is a crash of the postmaster itself.
_SIGNALS = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
    "kill": signal.SIGKILL,
}

Mode = Literal["smart", "fast", "immediate", "kill"]


class PostgresServer:
    """A server with a data directory of its own; a context manager.

    It keeps fsync on: what it says is committed must survive `restart("immediate")`.

    Args:
        settings: more of postgresql.conf, such as `{"max_connections": "200"}`.
    """

    user = "outhaul"
    password = "outhaul-test-password"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self._directory = data_directory("outhaul-postgres", plain_user=True)
        self._process = ServerProcess(
            self._command(settings or {}),
            self._directory / "postgres.log",
            plain_user=True,
            death_signal="QUIT",
        )

    @classmethod
    def missing(cls) -> str | None:
        """The command that would install the server, or None if it is here."""
        return None if _program("initdb") else "apt-get install --yes postgresql"

    def __enter__(self) -> Self:
        self._make_cluster()
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

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{self._login()}/{database}"

    def create_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database that `create_database` made, and whoever is connected to it."""
        name = sql.Identifier(url.rpartition("/")[2])
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._libpq_url(), autocommit=True) as connection:
            connection.execute(statement)

    def _accepts_connections(self) -> bool:
        try:
            psycopg.connect(self._libpq_url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _libpq_url(self) -> str:
        return f"postgresql://{self._login()}/postgres"

    def _login(self) -> str:
        return f"{self.user}:{self.password}@127.0.0.1:{self.port}"

    def _make_cluster(self) -> None:
        password_file = self._directory / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)
        command = [
            _program("initdb") or "initdb",
            f"--pgdata={self._directory / 'data'}",
            f"--username={self.user}",
            f"--pwfile={password_file}",
            "--auth=password",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        run(command, self._directory, plain_user=True)

    def _command(self, settings: Mapping[str, str]) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            # A path in the temporary directory may be too long for a socket.
            "unix_socket_directories": "",
            **settings,
        }
        return [
            _program("postgres") or "postgres",
            "-D",
            str(self._directory / "data"),
            *(part for key, value in options.items() for part in ("-c", f"{key}={value}")),
        ]


def _program(name: str) -> str | None:
    installed = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda file: int(file.parts[-3])
    )
    # Debian keeps the server's programs off PATH.
    return shutil.which(name) or (str(installed[-1]) if installed else None)
