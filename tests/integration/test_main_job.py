"""The main job: a row becomes a verified object, wherever it can be stored."""

from __future__ import annotations

import hashlib
import math

from tests.support.deployment import Deployment


def test_a_row_becomes_a_verified_object_in_s3(deployment: Deployment) -> None:
    """A committed INSERT ends as done/s3, with size, checksum, evidence and one attempt."""

    content = b"an office document" * 1000
    with deployment.daemon() as daemon:
        job_id = deployment.insert_file("report.docx", content)
        (job,) = deployment.wait_final(job_id)

    assert (job["status"], job["storage_type"]) == ("done", "s3")
    assert (job["size_bytes"], job["verified_by"]) == (len(content), "sha256")
    assert job["sha256"] == hashlib.sha256(content).hexdigest()
    assert deployment.s3_content("report.docx") == content
    assert [attempt["outcome"] for attempt in deployment.attempts(job_id)] == ["succeeded"]
    sentence = f"File uploaded to S3: {deployment.key('report.docx')}"
    assert len(daemon.events(sentence)) == 1


def test_an_outage_of_s3_ends_in_oss(deployment: Deployment) -> None:
    """Four refusals by S3, then OSS at once, with every attempt on record."""

    deployment.s3.fail(status=503, code="SlowDown", times=math.inf)
    with deployment.daemon():
        job_id = deployment.insert_file("photo.jpg", b"pixels")
        (job,) = deployment.wait_final(job_id)

    assert (job["status"], job["storage_type"], job["verified_by"]) == ("done", "oss", "crc64")
    assert deployment.oss_content("photo.jpg") == b"pixels"
    history = [
        (row["store"], row["attempt"], row["error_code"]) for row in deployment.attempts(job_id)
    ]
    assert history == [
        ("s3", 1, "SlowDown"),
        ("s3", 2, "SlowDown"),
        ("s3", 3, "SlowDown"),
        ("s3", 4, "SlowDown"),
        ("oss", 1, None),
    ]


def test_an_outage_of_both_clouds_ends_in_the_local_directory(deployment: Deployment) -> None:
    """With both clouds refusing, the bytes lie in the local directory under their key."""

    deployment.s3.refuse("closed")
    deployment.oss_front.refuse("closed")
    with deployment.daemon(OUTHAUL_LOCAL_DIR=str(deployment.local)):
        job_id = deployment.insert_file("a b/é.bin", b"bytes")
        (job,) = deployment.wait_final(job_id)

    assert (job["status"], job["storage_type"]) == ("done", "local")
    assert (deployment.local / deployment.key("a b/é.bin")).read_bytes() == b"bytes"
    assert {row["error_code"] for row in deployment.attempts(job_id)[:-1]} == {"NetworkError"}


def test_an_inline_payload_is_stored_and_leaves_the_row(deployment: Deployment) -> None:
    """Bytes in the row need no shared disk, and are dropped from it once a store has them."""

    with deployment.daemon():
        job_id = deployment.insert(storage_key=deployment.key("inline"), payload=b"\0inline\xff")
        (job,) = deployment.wait_final(job_id)

    assert (job["status"], job["payload"]) == ("done", None)
    assert deployment.s3_content("inline") == b"\0inline\xff"


def test_a_large_file_goes_in_parts(deployment: Deployment) -> None:
    """A file above the part size is stored whole by multipart, and no part is left behind."""

    content = bytes(range(256)) * 4096 * 20
    with deployment.daemon():
        job_id = deployment.insert_file("large.bin", content)
        (job,) = deployment.wait_final(job_id)

    assert (job["status"], job["storage_type"], job["verified_by"]) == (
        "done",
        "s3",
        "parts-sha256",
    )
    assert deployment.s3_content("large.bin") == content
    assert len(deployment.puts("large.bin")) == 3
