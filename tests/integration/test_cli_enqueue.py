"""`outhaul enqueue`: a job from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import outhaul
from tests.support.deployment import Deployment


def test_the_id_is_all_that_is_printed(deployment: Deployment) -> None:
    """`id=$(outhaul enqueue FILE KEY)` works, and the row is what an INSERT would have made."""

    file, key = deployment.file("a b/é.txt"), deployment.key("a b/é.txt")
    answer = outhaul(deployment.environment(), "enqueue", str(file), key)

    assert (answer.exit_code, answer.err) == (0, "")
    job_id = int(answer.out)
    by_hand = deployment.insert(storage_key=key, source_path=str(file))
    assert answer.out == f"{job_id}\n"
    differing = {"id", "created_at", "updated_at", "next_retry_at"}
    row, expected = deployment.job(job_id), deployment.job(by_hand)
    assert [name for name in row if row[name] != expected[name] and name not in differing] == []


def test_programs_get_the_id_as_json(deployment: Deployment) -> None:
    """`--json` wraps the id."""

    file = deployment.file("a.txt")
    answer = outhaul(deployment.environment(), "enqueue", str(file), "a", "--json")

    (row,) = deployment.query("SELECT id FROM upload_outbox")
    assert answer.data == {"id": row["id"]}


def test_options_become_columns(deployment: Deployment) -> None:
    """Lane, priority, content type, metadata and dedupe key end up in the row."""

    answer = outhaul(
        deployment.environment(),
        *("enqueue", str(deployment.file("a")), deployment.key("a"), "--queue", "slow"),
        *("--priority", "0", "--content-type", "text/plain", "--dedupe-key", "once"),
        *("--meta", "colour=blue=green", "--meta", "größe=12"),
    )

    row = deployment.job(int(answer.out))
    assert [row[c] for c in ("queue", "priority", "content_type", "dedupe_key")] == [
        *("slow", 0, "text/plain", "once")
    ]
    found = row["metadata"]
    found = json.loads(found) if isinstance(found, str) else found
    assert found == {"colour": "blue=green", "größe": "12"}


def test_inline_puts_the_bytes_into_the_row(deployment: Deployment) -> None:
    """`--inline` needs no disk that the daemon shares, so a file outside the roots will do."""

    outside = deployment.directory / "elsewhere.bin"
    outside.write_bytes(b"\0\xffinline")
    environment = deployment.environment()
    answer = outhaul(environment, "enqueue", str(outside), deployment.key("a"), "--inline")

    row = deployment.job(int(answer.out))
    assert (bytes(row["payload"]), row["source_path"]) == (b"\0\xffinline", None)
    assert answer.err == ""


def test_a_dedupe_key_is_taken_once(deployment: Deployment) -> None:
    """The second job is refused in plain words that name the first; there is no second row."""

    line = ("enqueue", str(deployment.file("a")), "a", "--dedupe-key", "invoice 7")
    first = outhaul(deployment.environment(), *line)
    told = outhaul(deployment.environment(), *line)
    json_told = outhaul(deployment.environment(), *line, "--json")

    message = f"job {first.out.strip()} has this dedupe_key already"
    assert (told.exit_code, told.out, told.err) == (1, "", f"outhaul: {message}\n")
    assert (json_told.exit_code, json_told.error) == (1, ("DUPLICATE", message))
    assert deployment.query("SELECT count(*) AS n FROM upload_outbox") == [{"n": 1}]


@pytest.mark.parametrize("key", ["/absolute", "a//b", "../up", "", "tab\tkey", "é" * 512])
def test_a_key_that_no_store_may_have_is_refused_at_once(
    sqlite_deployment: Deployment, key: str
) -> None:
    """The shell hears of a bad key when it is typed, not when the daemon gets to the job."""

    file = str(sqlite_deployment.file("a"))
    answer = outhaul(sqlite_deployment.environment(), "enqueue", "--json", "--", file, key)

    assert (answer.exit_code, answer.error[0]) == (1, "INVALID_KEY")
    assert sqlite_deployment.query("SELECT id FROM upload_outbox") == []


def test_a_relative_file_is_made_absolute(
    sqlite_deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon does not share the shell's current directory."""

    file = sqlite_deployment.file("a.txt")
    monkeypatch.chdir(file.parent)
    answer = outhaul(sqlite_deployment.environment(), "enqueue", "a.txt", "a")

    assert sqlite_deployment.job(int(answer.out))["source_path"] == str(file)


@pytest.mark.parametrize(
    ("name", "word"), [("spool/missing", "cannot be found"), ("outside", "OUTHAUL_SOURCE_ROOTS")]
)
def test_a_doubtful_file_is_taken_with_a_note(
    sqlite_deployment: Deployment, name: str, word: str
) -> None:
    """The daemon may see what the shell cannot: standard error has the doubt, output the id."""

    (sqlite_deployment.directory / "outside").write_bytes(b"")
    file = sqlite_deployment.directory / name
    answer = outhaul(sqlite_deployment.environment(), "enqueue", str(file), "a")

    assert (answer.exit_code, answer.out) == (0, "1\n")
    assert answer.err.startswith(f"note: {file}")
    assert word in answer.err


def test_wait_tells_the_outcome(sqlite_deployment: Deployment) -> None:
    """`--wait` ends with 0 once the file is stored, and with 1 and the reason if it never is."""

    good, missing = sqlite_deployment.file("good"), sqlite_deployment.spool / "missing"
    with sqlite_deployment.daemon():
        stored = sqlite_deployment.outhaul("enqueue", str(good), "k/good", "--wait")
        failed = sqlite_deployment.outhaul("enqueue", str(missing), "k/missing", "--wait")
        environment = sqlite_deployment.environment()
        json_stored = outhaul(environment, "enqueue", str(good), "k/2", "--wait", "--json")
        json_failed = outhaul(environment, "enqueue", str(missing), "k/3", "--wait", "--json")

    assert (stored.returncode, stored.stdout) == (0, "1 done s3 k/good\n")
    assert (failed.returncode, failed.stdout[:23]) == (1, "2 failed SOURCE_MISSING")
    assert (json_stored.data["status"], json_stored.data["storage_type"]) == ("done", "s3")
    assert len(json_stored.data["attempts"]) == 1
    assert json_failed.exit_code == 1
    assert json_failed.envelope["data"]["last_error_code"] == "SOURCE_MISSING"
    assert json_failed.error[0] == "FAILED"


def test_wait_gives_up(sqlite_deployment: Deployment) -> None:
    """Where no daemon runs, `--wait` ends after its timeout and says where to look."""

    file = str(sqlite_deployment.file("a"))
    line = ("enqueue", file, "a", "--wait", "--timeout", "0")
    answer = outhaul(sqlite_deployment.environment(), *line)

    assert answer.exit_code == 1
    assert answer.out == "1 is still pending; does a daemon run? `outhaul status` shows it\n"


def test_an_unreadable_inline_file_is_a_usage_error(
    sqlite_deployment: Deployment, tmp_path: Path
) -> None:
    """`--inline` of a directory is refused before anything is inserted."""

    line = ("enqueue", "--inline", str(tmp_path), "a", "--json")
    answer = outhaul(sqlite_deployment.environment(), *line)

    assert (answer.exit_code, answer.error[0]) == (2, "USAGE")
    assert sqlite_deployment.query("SELECT id FROM upload_outbox") == []
