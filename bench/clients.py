"""What outhaul's uploads are held against: SDKs in loops, and the tools that keep no records."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import fleet, programs
from bench.figures import Contenders, Sample
from bench.fleet import Program
from bench.processes import peak_memory

#: These run in the environment of outhaul: the very versions that it is built on.
_OWN = {"boto3_client", "oss2_client"}


class Clients:
    """Python clients stay from run to run; programs come and go, as their users have it.

    Args:
        stack: ends the clients.
        url: the store.
        quick: only the settings that are known to be each one's best.
    """

    def __init__(self, stack: ExitStack, url: str, *, quick: bool) -> None:
        self._stack, self._url, self._quick = stack, url, quick
        self._programs: dict[str, Program] = {}

    def small_s3(self, source: Path, count: int, sdk_count: int) -> Contenders:
        """Files per second. Slow clients get `sdk_count` files, `source` holds `count`."""
        return {
            **self._threads("boto3", (1, 8) if self._quick else (1, 8, 32), source, sdk_count),
            **self._threads("obstore", (8,) if self._quick else (1, 8, 32), source, count),
            **{
                f"rclone, {n} transfers": partial(self._rclone, source, n, count)
                for n in ((32,) if self._quick else (8, 32))
            },
            **{
                f"s5cmd, {n} workers": partial(self._s5cmd, source, n, count)
                for n in ((32,) if self._quick else (8, 32))
            },
        }

    def small_oss(self, source: Path, count: int) -> Contenders:
        """Files per second by oss2."""
        return self._threads("oss2", (1,) if self._quick else (1, 8, 32), source, count)

    def large(self, path: Path) -> Contenders:
        """MB/s of one file."""
        size, name = path.stat().st_size, str(path)
        boto3 = {
            "boto3, tuned": partial(self._large, "boto3_client", size, path=name, tuned=True),
            "boto3, default": partial(self._large, "boto3_client", size, path=name, tuned=False),
        }
        if self._quick:
            del boto3["boto3, default"]
        return {
            **boto3,
            "obstore": partial(self._large, "obstore_client", size, path=name),
            "minio-py": partial(self._large, "minio_client", size, path=name),
            "rclone": partial(self._rclone_large, path),
            "s5cmd": partial(self._s5cmd_large, path),
        }

    def _threads(
        self, library: str, threads: tuple[int, ...], source: Path, count: int
    ) -> Contenders:
        return {
            f"{library}, {n} thread{'s' * (n > 1)}": partial(
                self._small, f"{library}_client", count, directory=str(source), threads=n
            )
            for n in threads
        }

    def _small(self, module: str, count: int, **order: object) -> Sample:
        program = self._program(module)
        sample = program.measure(count, what="small", count=count, **order)
        return _per_file(sample.value, sample.beside["cpu_seconds"], count)

    def _large(self, module: str, size: int, **order: object) -> Sample:
        program = self._program(module)
        with peak_memory(program.pid) as peak:
            sample = program.measure(size / 1e6, what="large", **order)
        return Sample(sample.value, {**sample.beside, "peak_mib": peak.bytes / (1 << 20)})

    def _program(self, module: str) -> Program:
        if module not in self._programs:
            start = fleet.own_python if module in _OWN else fleet.peer_python
            program = self._stack.enter_context(start(f"bench.peers.{module}", self._url))
            program.await_ready()
            self._programs[module] = program
        return self._programs[module]

    def _rclone(self, source: Path, transfers: int, count: int) -> Sample:
        run = programs.rclone(source, self._url, transfers)
        return _per_file(count / run.seconds, run.cpu_seconds, count)

    def _s5cmd(self, source: Path, workers: int, count: int) -> Sample:
        run = programs.s5cmd(source, self._url, workers)
        return _per_file(count / run.seconds, run.cpu_seconds, count)

    def _rclone_large(self, path: Path) -> Sample:
        return _large(path, programs.rclone(path, self._url, 4))

    def _s5cmd_large(self, path: Path) -> Sample:
        return _large(path, programs.s5cmd(path, self._url, 32))


def _per_file(rate: float, cpu_seconds: float, count: int) -> Sample:
    return Sample(rate, {"cpu_ms_per_file": cpu_seconds / count * 1e3})


def _large(path: Path, run: programs.Finished) -> Sample:
    rate = path.stat().st_size / run.seconds / 1e6
    beside = {"cpu_seconds": run.cpu_seconds, "peak_mib": run.peak_bytes / (1 << 20)}
    return Sample(rate, beside)
