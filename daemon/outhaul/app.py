"""The composition root: settings in, a daemon out. Nobody else wires anything."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from outhaul import __version__, logs, migrate
from outhaul.claimer import Claimer
from outhaul.config import reveal
from outhaul.errors import ConfigError
from outhaul.flights import Flights
from outhaul.keeper import Cycle, Keeper
from outhaul.models import OnSuccess, StoreName
from outhaul.notifier import Notifier
from outhaul.outage import Outage
from outhaul.outbox import Claimant, Daemon, Outbox
from outhaul.outbox.engine import check_server, open_engine
from outhaul.outbox.wakeup import Listener
from outhaul.scheduler import Scheduler
from outhaul.service import Parts, Service
from outhaul.settings import Settings
from outhaul.source import Sources
from outhaul.stores.base import Store
from outhaul.stores.exchange import Exchange
from outhaul.stores.local import LocalStore
from outhaul.stores.multipart import PARTS_IN_FLIGHT
from outhaul.transfer import Budget
from outhaul.transitions import Settlement
from outhaul.uploader import Uploader
from outhaul.worker import Workers
from outhaul.writer import Writer

#: What a start asks systemd for while it waits; asked again every second or two.
_BOOT_SECONDS = 30.0


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """The engine of these settings, closed at the end.

    Raises:
        ConfigError: the URL is not usable.
    """
    engine = open_engine(settings.database_url.get_secret_value(), settings.database_schema)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def outbox_database(settings: Settings) -> Iterator[Engine]:
    """The engine of a database whose outbox is of this version.

    Raises:
        ConfigError: the URL is not usable.
        SchemaError: there is no outbox, or one of another version.
        DBAPIError: the database is away.
    """
    with database(settings) as engine:
        migrate.require_current(engine, settings.database_schema)
        yield engine


@contextmanager
def stores(settings: Settings) -> Iterator[Mapping[StoreName, Store]]:
    """The configured stores, in the order of the chain."""
    with ThreadPoolExecutor(settings.workers * PARTS_IN_FLIGHT, "part") as pool:
        opened = {name: _store(name, settings, pool) for name in settings.chain}
        try:
            yield opened
        finally:
            for store in opened.values():
                store.close()


def _store(name: StoreName, settings: Settings, pool: Executor) -> Store:
    match name:
        case StoreName.S3:
            return _s3(settings, pool)
        case StoreName.OSS:
            return _oss(settings, pool)
        case StoreName.LOCAL:
            return _local(settings)


def _exchange(settings: Settings) -> Exchange:
    return Exchange(
        pool_size=settings.workers * PARTS_IN_FLIGHT,
        connect_timeout=settings.connect_timeout_seconds,
        ca_bundle=str(settings.ca_bundle) if settings.ca_bundle else None,
    )


def _s3(settings: Settings, pool: Executor) -> Store:
    from outhaul.stores.s3 import S3Store, s3_client  # noqa: PLC0415 - boto3 costs 0.2 s

    exchange = _exchange(settings)
    token = settings.aws_session_token
    client = s3_client(
        access_key_id=reveal(settings.aws_access_key_id),
        secret_access_key=reveal(settings.aws_secret_access_key),
        session_token=reveal(token) if token else None,
        region=settings.aws_region,
        endpoint_url=settings.s3_endpoint_url,
        exchange=exchange,
    )
    return S3Store(settings.s3_bucket_name or "", client, exchange, pool, settings.s3_checksum)


def _oss(settings: Settings, pool: Executor) -> Store:
    from outhaul.stores.oss import OssStore, oss_bucket  # noqa: PLC0415 - oss2 costs 0.2 s

    exchange = _exchange(settings)
    bucket = oss_bucket(
        access_key_id=reveal(settings.oss_access_key_id),
        access_key_secret=reveal(settings.oss_access_key_secret),
        endpoint=settings.oss_endpoint or "",
        region=settings.oss_region or "",
        bucket=settings.oss_bucket_name or "",
        exchange=exchange,
    )
    return OssStore(bucket, exchange, pool)


def _local(settings: Settings) -> Store:
    if settings.local_dir is None:
        raise ConfigError("OUTHAUL_LOCAL_DIR is not set")
    return LocalStore(settings.local_dir)


def worker_name() -> str:
    """host:pid:random, new at every process start: reused names would hide orphans."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@contextmanager
def service(settings: Settings, *, patient: bool = True) -> Iterator[Service]:
    """A daemon, checked and wired, not yet started.

    Args:
        settings: what it works with.
        patient: whether to wait for a database that is away.

    Raises:
        ConfigError: no store is configured, or the server is too old.
        SchemaError: the schema is not this version's.
        DBAPIError: the database refuses us, or is away and we are not patient.
    """
    if not settings.chain:
        raise ConfigError(
            "no store is configured: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and"
            " S3_BUCKET_NAME, or the five ALICLOUD_OSS_*, or OUTHAUL_LOCAL_DIR"
        )
    notifier = Notifier()
    with database(settings) as engine, stores(settings) as opened:
        if patient:
            _await_database(settings, engine, notifier)
        else:
            _check_database(settings, engine)
        yield _wire(settings, engine, opened, notifier)


def _await_database(settings: Settings, engine: Engine, notifier: Notifier) -> None:
    """Start as soon as the database does: hosts boot in any order."""
    outage, pause = Outage(), threading.Event()
    while True:
        began = time.monotonic()
        try:
            _check_database(settings, engine)
            outage.answered(began)
        except OperationalError as error:
            notifier.status("waiting for the database")
            notifier.extend(_BOOT_SECONDS)
            pause.wait(outage.failed(error, began))
        else:
            return


def _check_database(settings: Settings, engine: Engine) -> None:
    # The embedded database is nobody's but ours: a first start sets it up.
    if engine.dialect.name == "sqlite" and migrate.current(engine) is None:
        migrate.upgrade(engine)
    migrate.require_current(engine, settings.database_schema)
    check_server(engine)


@dataclass(frozen=True, slots=True)
class _Identity:
    claimant: Claimant
    daemon: Daemon


def _identity(settings: Settings) -> _Identity:
    worker = worker_name()
    return _Identity(
        Claimant(worker, settings.lease_seconds, settings.chain[0], settings.queues),
        Daemon(
            worker=worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            queues=",".join(settings.queues),
            slots=settings.workers,
            lease_seconds=settings.lease_seconds,
        ),
    )


def _wire(
    settings: Settings, engine: Engine, opened: Mapping[StoreName, Store], notifier: Notifier
) -> Service:
    who = _identity(settings)
    outbox = Outbox(engine, who.claimant, who.daemon)
    flights = Flights(Budget(settings.attempt_timeout_seconds, settings.minimum_bytes_per_second))
    outage = Outage()
    sources = Sources(settings.source_roots, settings.max_source_bytes, outbox.payload)
    uploader = Uploader(opened, sources, outbox.pin, settings.verify)
    writer = Writer(outbox, flights, outage)
    workers = Workers(settings.workers, uploader, flights, settings.rules, writer)
    claimer = Claimer(
        outbox,
        flights,
        workers.submit,
        workers=settings.workers,
        lease_seconds=settings.lease_seconds,
        poll_seconds=settings.poll_seconds,
        outage=outage,
    )
    keeper = Keeper(outbox, flights, settings.lease_seconds, outage)
    renewer = Cycle("renewer", keeper.renew, outage)
    rescuer = Cycle("rescuer", keeper.rescue, outage)

    writer.afterwards = [lambda _: claimer.landed(), partial(_remove_source, sources)]
    scheduler = Scheduler(
        {
            "claim": (settings.poll_seconds, claimer.tick),
            "renew": (settings.lease_seconds / 3, renewer.tick),
            "rescue": (min(settings.rescue_seconds, settings.lease_seconds), rescuer.tick),
        }
    )
    notify = settings.notify and engine.dialect.name == "postgresql"
    listener = Listener(engine, claimer.tick) if notify else None
    parts = Parts(
        outbox, flights, workers, writer, claimer, renewer, rescuer, scheduler, outage, listener
    )
    chain = " -> ".join(settings.chain)
    queues = ",".join(settings.queues)
    announce = partial(logs.started, who.claimant.worker, chain, queues, settings.workers)
    return Service(parts, notifier, settings.drain_seconds, announce)


def _remove_source(sources: Sources, settlement: Settlement) -> None:
    """`on_success = 'delete'`: only once the row says that a store holds the verified bytes."""
    job, stored = settlement.job, settlement.stored
    if stored is None or job.source_path is None or job.on_success is not OnSuccess.DELETE:
        return
    with suppress(OSError):
        if sources.remove(job.source_path, stored.pin.sha256):
            return
    logs.source_kept(job.id, job.source_path)
