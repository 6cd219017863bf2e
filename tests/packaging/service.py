"""The installed service in the machine, and a client in group outbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.packaging.nspawn import Machine

UNIT = "outhaul.service"
OUTHAUL = "/opt/outhaul/bin/outhaul"
SPOOL = "/var/spool/outhaul"
STORED = "/var/lib/outhaul/objects"
#: A local store, and no wait that a test would have to sit out.
LOCAL = {
    "OUTHAUL_LOCAL_DIR": STORED,
    "OUTHAUL_DRAIN_SECONDS": "2",
    "OUTHAUL_UPLOAD_RETRY_DELAYS": "0,0,0",
    "OUTHAUL_LEASE_SECONDS": "3",
    "OUTHAUL_RESCUE_SECONDS": "1",
}
#: An S3 that accepts every connection and never answers.
BLACK_HOLE = {
    "S3_BUCKET_NAME": "hole",
    "S3_ENDPOINT_URL": "http://127.0.0.1:9999",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
}

_ENVIRONMENT = "/etc/outhaul/outhaul.env"
_DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"
_HOLE = """\
import socket
server = socket.create_server(("127.0.0.1", 9999))
held = []
while held.append(server.accept()[0]) is None:
    print("caught", flush=True)
"""
_INSERT = """\
import os, pathlib, sqlite3, sys
os.umask(0o007)
source, queue = pathlib.Path(sys.argv[1]), sys.argv[2]
source.write_text("the bytes of " + source.name)
outbox = sqlite3.connect("/var/spool/outhaul/outbox.db", timeout=30)
with outbox:
    outbox.execute("INSERT INTO upload_outbox (storage_key, source_path, queue) VALUES (?, ?, ?)",
                   (source.name, str(source), queue))
"""
_SELECT = """\
import json, sqlite3, sys
outbox = sqlite3.connect("/var/spool/outhaul/outbox.db", timeout=30)
outbox.row_factory = sqlite3.Row
query = "SELECT * FROM upload_outbox WHERE storage_key = ?"
print(json.dumps(dict(outbox.execute(query, sys.argv[1:]).fetchone())))
"""
# Whatever a test before has left, also one that ended in the middle.
_RESET = f"""\
systemctl stop 'outhaul[.@]*service' black-hole.service 2>/dev/null
systemctl reset-failed
rm -rf {SPOOL}/* {STORED} {_DROP_IN}
systemctl daemon-reload
systemd-tmpfiles --create outhaul.conf
journalctl --lines=0 --show-cursor | sed -n 's/^-- cursor: //p'
"""


class Service:
    """The service, stopped, with an empty outbox and empty stores.

    Args:
        machine: where it is installed.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._cursor = machine.run("sh", "-c", _RESET)

    def configure(self, *settings: dict[str, str], **more: str) -> None:
        """Write the settings of the next start."""
        merged = {name: value for part in (*settings, more) for name, value in part.items()}
        text = "".join(f"{name}={value}\n" for name, value in merged.items())
        self.machine.write(_ENVIRONMENT, text)

    def override(self, *directives: str) -> None:
        """Change the unit by a drop-in, for this test alone."""
        self.machine.write(_DROP_IN, "\n".join(("[Service]", *directives, "")))
        self.machine.run("systemctl", "daemon-reload")

    def systemctl(self, verb: str, *options: str) -> None:
        """Do something to the unit."""
        self.machine.run("systemctl", verb, *options, UNIT)

    def show(self, name: str) -> str:
        """Return a property of the unit."""
        return self.machine.show(UNIT, name)

    def insert(self, key: str, spool: str = SPOOL, queue: str = "default") -> None:
        """Hand over a file and its job, as a client in group outbox does."""
        client = ("runuser", "-u", "client", "--", "/usr/bin/python3", "-c", _INSERT)
        self.machine.run(*client, f"{spool}/{key}", queue)

    def job(self, key: str) -> dict[str, Any]:
        """Return the row of the job."""
        row: dict[str, Any] = json.loads(self.machine.run("/usr/bin/python3", "-c", _SELECT, key))
        return row

    def wait_until_done(self, key: str) -> dict[str, Any]:
        """Wait until the job is done, and return its row."""
        wait_for(lambda: self.job(key)["status"] == "done", 60, f"{key} to be stored")
        return self.job(key)

    def wait_until_stored(self, key: str) -> None:
        """Wait until the job is done and its bytes are in the local store."""
        assert self.wait_until_done(key)["storage_type"] == "local"
        assert self.machine.place(f"{STORED}/{key}").read_text() == f"the bytes of {key}"

    def wait_until_restarted(self) -> None:
        """Wait until systemd itself has put a process in the place of the first one."""
        wait_for(lambda: self.show("NRestarts") == "1", 60, "the decision to restart")
        wait_for(lambda: self.show("ActiveState") == "active", 60, "the restarted daemon")

    def hang_an_upload(self, key: str) -> None:
        """Start the service and a job, and wait until its upload hangs in the black hole."""
        self.machine.run("systemd-run", "--unit=black-hole", "/usr/bin/python3", "-c", _HOLE)
        self.systemctl("start")
        self.insert(key)
        wait_for(lambda: "caught" in self.journal(), 60, "an upload that hangs")

    def close_black_hole(self) -> None:
        """From now on the connection is refused."""
        self.machine.run("systemctl", "stop", "black-hole.service")

    def journal(self) -> str:
        """Return what systemd, the daemon and the failure hook wrote since the test began."""
        after = f"--after-cursor={self._cursor}"
        return self.machine.run("journalctl", "--no-pager", "--output=cat", after)
