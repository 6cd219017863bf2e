"""Cases in which a store answers, and its answer is a trap."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.faults.neighbour import WELL, Neighbour
from tests.faults.record import ATTEMPTS, exhausted, history, verdict
from tests.support.deployment import Deployment
from tests.support.proxy import replies

pytestmark = pytest.mark.usefixtures("daemon")

#: Two parts.
LARGE = bytes(range(256)) * 4096 * 9

#: S3 sends the head of a 200 and spaces while it works, and only then finds that it failed.
ERROR_INSIDE_200 = replies.reply(
    200,
    replies.error_document("InternalError", "We encountered an internal error.").replace(
        b"?>\n", b"?>" + b" " * 50
    ),
    {"Content-Type": "application/xml"},
)


def upload_ids(deployment: Deployment, name: str, method: str) -> list[str]:
    """The upload ids of the requests of one method for one key."""
    return [
        request.query.partition("uploadId=")[2].partition("&")[0]
        for request in deployment.s3.requests
        if (request.method, request.key) == (method, deployment.key(name))
        and "uploadId=" in request.query
    ]


def open_uploads(deployment: Deployment, name: str) -> list[Any]:
    """What the S3 server lists as unfinished under a key."""
    listed = deployment.seaweed.client().list_multipart_uploads(
        Bucket=deployment.seaweed.bucket, Prefix=deployment.key(name)
    )
    return list(listed.get("Uploads", ()))


def stored_keys(deployment: Deployment, name: str) -> list[str]:
    """The keys in S3 that begin with this one."""
    listed = deployment.seaweed.client().list_objects_v2(
        Bucket=deployment.seaweed.bucket, Prefix=deployment.key(name)
    )
    return [entry["Key"] for entry in listed.get("Contents", ())]


def break_complete(deployment: Deployment, name: str, times: float) -> None:
    """Let CompleteMultipartUpload fail inside a 200."""
    deployment.s3.answer(
        ERROR_INSIDE_200,
        key=deployment.key(name),
        method="POST",
        query="uploadId=",
        times=times,
    )


def test_error_inside_a_200_on_complete_is_no_success(served: Deployment) -> None:
    """It ends in OSS after four attempts, each of whose uploads was aborted exactly once."""

    break_complete(served, "never.bin", math.inf)
    bad = served.insert_file("never.bin", LARGE)
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad, seconds=60)

    assert verdict(job) == ("done", "oss", None)
    assert history(served, bad) == [*exhausted("s3", "InternalError"), ("oss", 1, None)]
    assert served.oss_content("never.bin") == LARGE
    begun = set(upload_ids(served, "never.bin", "PUT"))
    assert len(begun) == ATTEMPTS
    assert sorted(upload_ids(served, "never.bin", "DELETE")) == sorted(begun)
    assert open_uploads(served, "never.bin") == []
    assert neighbour.fate() == WELL


def test_error_inside_a_200_on_complete_once_is_retried(served: Deployment) -> None:
    """The second attempt stores one whole object in S3 and leaves no upload open."""

    break_complete(served, "once.bin", 1)
    bad = served.insert_file("once.bin", LARGE)
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad)

    assert verdict(job) == ("done", "s3", None)
    assert history(served, bad) == [("s3", 1, "InternalError"), ("s3", 2, None)]
    assert served.s3_content("once.bin") == LARGE
    assert open_uploads(served, "once.bin") == []
    assert stored_keys(served, "once.bin") == [served.key("once.bin")]
    assert neighbour.fate() == WELL


def test_error_inside_a_200_never_deletes_the_source(served: Deployment) -> None:
    """Where OSS refuses too, the job fails, and its source stays though it was to be deleted."""

    break_complete(served, "kept.bin", math.inf)
    served.oss_front.fail(403, "AccessDenied", key=served.key("kept.bin"), times=math.inf)
    bad = served.insert_file("kept.bin", LARGE, on_success="delete")
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad, seconds=60)

    assert verdict(job) == ("failed", None, "AccessDenied")
    assert (served.spool / "kept.bin").read_bytes() == LARGE
    assert neighbour.fate() == WELL


def test_wrong_region_redirect_is_not_followed(served: Deployment) -> None:
    """One request, the right region named in last_error, then OSS."""

    redirect = {"x-amz-bucket-region": "eu-west-1"}
    key = served.key("elsewhere")
    served.s3.fail(301, "PermanentRedirect", headers=redirect, key=key, times=math.inf)
    fallback = served.oss_front.hold(key=key, method="PUT")
    bad = served.insert_file("elsewhere")
    neighbour = Neighbour(served)
    assert fallback.arrived.wait(20)
    meanwhile = served.job(bad)
    fallback.release()
    (job,) = served.wait_final(bad)

    assert verdict(meanwhile) == ("running", None, "PermanentRedirect")
    assert "eu-west-1" in meanwhile["last_error"]
    assert verdict(job) == ("done", "oss", None)
    assert history(served, bad) == [("s3", 1, "PermanentRedirect"), ("oss", 1, None)]
    assert len(served.puts("elsewhere")) == 1
    assert neighbour.fate() == WELL


def test_503_with_an_html_body_is_retried_like_any_other(served: Deployment) -> None:
    """A gateway's page carries no code: it counts as ServiceUnavailable, and OSS takes over."""

    served.s3.fail(503, html=True, key=served.key("page"), times=math.inf)
    bad = served.insert_file("page")
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad)

    assert verdict(job) == ("done", "oss", None)
    assert history(served, bad) == [*exhausted("s3", "ServiceUnavailable"), ("oss", 1, None)]
    assert neighbour.fate() == WELL


def test_503_for_the_first_two_calls_is_outlived(served: Deployment) -> None:
    """The third attempt succeeds, and S3 holds the bytes."""

    served.s3.fail(503, "SlowDown", key=served.key("shy"), times=2)
    bad = served.insert_file("shy", b"third time lucky")
    neighbour = Neighbour(served)
    (job,) = served.wait_final(bad)

    assert verdict(job) == ("done", "s3", None)
    assert (job["s3_attempts"], job["oss_attempts"]) == (3, 0)
    assert served.s3_content("shy") == b"third time lucky"
    assert len(served.puts("shy")) == 3
    assert neighbour.fate() == WELL


def test_clock_skew_is_retried_and_named(served: Deployment) -> None:
    """RequestTimeTooSkewed is tried four times, and last_error tells of the machine's clock."""

    key = served.key("skewed")
    served.s3.fail(403, "RequestTimeTooSkewed", key=key, times=math.inf)
    fallback = served.oss_front.hold(key=key, method="PUT")
    bad = served.insert_file("skewed")
    neighbour = Neighbour(served)
    assert fallback.arrived.wait(20)
    meanwhile = served.job(bad)
    fallback.release()
    (job,) = served.wait_final(bad)

    assert "clock" in meanwhile["last_error"]
    assert verdict(job) == ("done", "oss", None)
    assert history(served, bad) == [*exhausted("s3", "RequestTimeTooSkewed"), ("oss", 1, None)]
    assert len(served.puts("skewed")) == ATTEMPTS
    assert neighbour.fate() == WELL


def test_default_checksums_of_the_sdk_are_never_sent(served: Deployment) -> None:
    """Some compatible stores refuse CRC-32 trailers: a request carries the named SHA-256 only."""

    neighbour = Neighbour(served)

    assert neighbour.fate() == WELL
    (request,) = [r for r in served.puts() if r.key == served.job(neighbour.job_id)["storage_key"]]
    checksums = {name for name in request.headers if "checksum" in name}
    assert checksums == {"x-amz-checksum-sha256"}
    assert "x-amz-trailer" not in request.headers
    assert "aws-chunked" not in request.headers.get("content-encoding", "")


def test_stores_that_refuse_every_checksum_can_be_served(sqlite_deployment: Deployment) -> None:
    """With OUTHAUL_S3_CHECKSUM=md5 requests of both sizes carry Content-MD5 and no checksum."""

    with sqlite_deployment.daemon(OUTHAUL_S3_CHECKSUM="md5"):
        small = sqlite_deployment.insert_file("small")
        large = sqlite_deployment.insert_file("large", LARGE)
        jobs = sqlite_deployment.wait_final(small, large)

    assert [verdict(job) for job in jobs] == [("done", "s3", None)] * 2
    assert [job["verified_by"] for job in jobs] == ["md5-etag", "parts-etag"]
    puts = sqlite_deployment.puts()
    assert len(puts) == 3
    assert all("content-md5" in request.headers for request in puts)
    assert not any("checksum" in name for request in puts for name in request.headers)
    assert sqlite_deployment.s3_content("large") == LARGE
