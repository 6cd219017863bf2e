from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError, EndpointConnectionError, SSLError

from tests.support.tls import Authority

if TYPE_CHECKING:
    from tests.support.mariadb import MariaDbServer
    from tests.support.postgresql import PostgresServer
    from tests.support.seaweed import SeaweedServer

BODY = b"translated\n" * 500
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()


@pytest.fixture(params=["postgres_server", "mariadb_server", "awkward_mariadb_server"])
def database_server(request: pytest.FixtureRequest) -> PostgresServer | MariaDbServer:
    server: PostgresServer | MariaDbServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["seaweed_server", "seaweed_tls_server"])
def s3_server(request: pytest.FixtureRequest) -> SeaweedServer:
    server: SeaweedServer = request.getfixturevalue(request.param)
    return server


def ask(url: str, *statements: str) -> Any:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        return [connection.exec_driver_sql(statement) for statement in statements][-1].scalar()


def test_database_answers(database_server: PostgresServer | MariaDbServer) -> None:
    """A database server answers a query through its SQLAlchemy URL."""
    assert ask(database_server.url(), "SELECT 1") == 1


def test_databases_are_apart(database_server: PostgresServer | MariaDbServer) -> None:
    """A new database is empty, whatever others hold."""
    first, second = database_server.create_database(), database_server.create_database()

    ask(first, "CREATE TABLE fruit (id int)", "SELECT count(*) FROM fruit")

    assert sa.inspect(sa.create_engine(first, poolclass=sa.NullPool)).get_table_names() == ["fruit"]
    assert sa.inspect(sa.create_engine(second, poolclass=sa.NullPool)).get_table_names() == []
    database_server.drop_database(first)
    with pytest.raises(sa.exc.OperationalError):
        ask(first, "SELECT 1")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_commits_survive_a_restart(
    database_server: PostgresServer | MariaDbServer, mode: Any
) -> None:
    """What was committed is there after a restart, even after a crash."""
    url = database_server.create_database()
    count = "SELECT count(*) FROM fruit"
    ask(url, "CREATE TABLE fruit (id int)", "INSERT INTO fruit VALUES (1)", count)

    database_server.restart(mode)

    assert ask(url, count) == 1


def test_awkward_settings_hold(awkward_mariadb_server: MariaDbServer) -> None:
    """The awkward MariaDB lives eight hours ahead and invents TIMESTAMP defaults."""
    url = awkward_mariadb_server.url()

    assert ask(url, "SELECT timediff(now(), utc_timestamp()) = '08:00:00'") == 1
    assert ask(url, "SELECT @@explicit_defaults_for_timestamp") == 0


def test_postgres_takes_no_wrong_password(postgres_server: PostgresServer) -> None:
    """The password in a URL is checked, so a test can prove that the right one was used."""
    wrong = postgres_server.url().replace("+psycopg", "").replace(postgres_server.password, "no")

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_s3_echoes_the_sha256(s3_server: SeaweedServer) -> None:
    """A PUT with a SHA-256 gets it back, and so does a HEAD that asks for it."""
    client, where = s3_server.client(), {"Bucket": s3_server.bucket, "Key": "sha256.bin"}

    put = client.put_object(**where, Body=BODY, ChecksumSHA256=SHA256)
    head = client.head_object(**where, ChecksumMode="ENABLED")

    assert put["ChecksumSHA256"] == head["ChecksumSHA256"] == SHA256
    assert put["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'


def test_s3_refuses_a_wrong_sha256(s3_server: SeaweedServer) -> None:
    """A body that is not what its SHA-256 says is not stored."""
    client, where = s3_server.client(), {"Bucket": s3_server.bucket, "Key": "wrong.bin"}

    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(**where, Body=BODY + b"!", ChecksumSHA256=SHA256)

    with pytest.raises(ClientError, match="404"):
        client.head_object(**where)


def test_s3_multipart_checksum_is_composite(s3_server: SeaweedServer) -> None:
    """A multipart object's SHA-256 is the hash of its parts' hashes, with their number."""
    client, where = s3_server.client(), {"Bucket": s3_server.bucket, "Key": "parts.bin"}
    bodies = [b"a" * (5 << 20), b"b" * 1000]
    digests = [hashlib.sha256(body).digest() for body in bodies]

    done = multipart(client, where, bodies)

    composite = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    assert done["ChecksumSHA256"] == f"{composite}-2"
    head = client.head_object(**where, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == f"{composite}-2"
    assert head["ChecksumType"] == "COMPOSITE"


def test_s3_if_none_match(s3_server: SeaweedServer) -> None:
    """A conditional write never replaces an object, neither by PUT nor by multipart."""
    client, where = s3_server.client(), {"Bucket": s3_server.bucket, "Key": "once.bin"}
    client.put_object(**where, Body=BODY, IfNoneMatch="*")

    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(**where, Body=b"other", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        multipart(client, where, [b"other"], IfNoneMatch="*")

    assert client.get_object(**where)["Body"].read() == BODY


def multipart(client: Any, where: dict[str, str], bodies: list[bytes], **complete: str) -> Any:
    upload = client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = client.upload_part(
            **where, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        parts.append(
            {"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}
        )
    return client.complete_multipart_upload(
        **where, UploadId=upload, MultipartUpload={"Parts": parts}, **complete
    )


def test_s3_makes_no_bucket_by_itself(s3_server: SeaweedServer) -> None:
    """A PUT to a bucket that is not there is an error, as on the real thing."""
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3_server.client().put_object(Bucket="nowhere", Key="a.bin", Body=BODY)


def test_s3_objects_survive_a_restart(seaweed_server: SeaweedServer) -> None:
    """A stored object is there after a crash and a restart; in between nobody answers."""
    client, where = seaweed_server.client(), {"Bucket": seaweed_server.bucket, "Key": "kept.bin"}
    client.put_object(**where, Body=BODY)

    seaweed_server.stop()
    with pytest.raises(EndpointConnectionError):
        client.head_object(**where)
    seaweed_server.start()

    assert client.get_object(**where)["Body"].read() == BODY


def test_tls_is_verified(seaweed_tls_server: SeaweedServer, tmp_path: Path) -> None:
    """The TLS server is nobody to a client that trusts another authority."""
    stranger = seaweed_tls_server.client(verify=Authority(tmp_path).ca_file)

    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        stranger.list_buckets()
