"""Who everybody is to every store of the benchmark."""

from __future__ import annotations

BUCKET = "bench"
REGION = "us-east-1"
ACCESS_KEY = "bench-key"
SECRET_KEY = "bench-secret"  # noqa: S105 - of servers that end with the run

#: As S3's own tools read it.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_REGION": REGION,
}
