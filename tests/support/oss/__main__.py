"""`python -m tests.support.oss`: the store as a process of its own, until TERM or INT."""

from __future__ import annotations

import argparse
import signal

from tests.support.oss.server import OssServer


def main() -> None:
    """Print one line, `listening on URL`, once the server accepts connections."""
    options = _parser().parse_args()
    tls = (options.tls_cert, options.tls_key) if options.tls_cert else None
    # Blocked before any thread starts, so that only the wait below receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with OssServer(
        options.bucket,
        options.access_key_id,
        options.access_key_secret,
        options.region,
        tls=tls,
        port=options.port,
    ) as server:
        print(f"listening on {server.url}", flush=True)  # noqa: T201 - the caller reads this
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.support.oss", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--access-key-id", required=True)
    parser.add_argument("--access-key-secret", required=True)
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--tls-cert", help="PEM file; serves https")
    parser.add_argument("--tls-key", help="PEM file of its key")
    return parser


if __name__ == "__main__":
    main()
