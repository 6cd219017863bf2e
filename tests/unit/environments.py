"""Environments as the setup guide writes them, with secrets that tests look for elsewhere."""

from __future__ import annotations

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAPUBLICID",
    "AWS_SECRET_ACCESS_KEY": "s3-secret-canary",
    "S3_BUCKET_NAME": "translide",
}

OSS_ENVIRONMENT = {
    "ALICLOUD_OSS_ACCESS_KEY_ID": "LTAIPUBLICID",
    "ALICLOUD_OSS_ACCESS_KEY_SECRET": "oss-secret-canary",
    "ALICLOUD_OSS_BUCKET_NAME": "translide-backup",
    "ALICLOUD_OSS_ENDPOINT": "https://oss-us-east-1.aliyuncs.com",
    "ALICLOUD_OSS_REGION": "us-east-1",
}
