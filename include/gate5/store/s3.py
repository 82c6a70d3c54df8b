"""An artifact store in an S3 bucket: conditional writes (``If-None-Match: *``) that carry their SHA-256."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from gate5.errors import StoreError
from gate5.io.files import sha256
from gate5.io.s3 import (
    checksum,
    error_code,
    list_objects,
    make_client,
    nobody_there,
    passing,
    persistently,
    public_url,
    read_object,
    s3_errors,
    s3_failures,
)
from gate5.store.backend import checked_name, checked_removal, whole

_PAGE = 1000
_UNCLEAR_ATTEMPTS = 8


class S3Backend:
    """Objects under a prefix of a bucket.

    Args:
        client: a boto3 S3 client; ``None``: made from ``endpoint``, ``region`` and the environment when first needed.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        client: Any = None,
        endpoint: str | None = None,
        region: str | None = None,
    ) -> None:
        self.bucket, self.prefix = bucket, prefix.strip("/")
        self.uri = f"s3://{bucket}/{self.prefix}".rstrip("/")
        self.client = client if client is not None else make_client(endpoint, region)
        where = public_url(self.client.meta.endpoint_url)
        self.identity = sha256(f"s3 {where} {self.uri}".encode())[:16]
        self._what = f"The artifact store {self.uri}"

    def read(self, name: str) -> bytes | None:
        pieces = self.stream(name)
        return None if pieces is None else whole(pieces, f"{self.uri}/{name}")

    def stream(self, name: str) -> Iterator[bytes] | None:
        from botocore.exceptions import ClientError  # type: ignore[import-untyped,unused-ignore]

        pieces = read_object(self.client, self.bucket, self._key(checked_name(name)))
        with s3_errors(self._what, self.client):
            try:
                next(pieces)
            except ClientError as error:
                if error_code(error)[0] in ("NoSuchKey", "404"):
                    return None
                raise
        return self._sentences(pieces)

    def _sentences(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        with s3_errors(self._what, self.client):
            yield from pieces

    def list(self, prefix: str, limit: int | None = None) -> list[str]:
        start = self._key("")
        with s3_errors(self._what, self.client):
            listed = list_objects(self.client, self.bucket, start + prefix, limit, _PAGE)
            return [item["Key"][len(start) :] for item in listed]

    def create(self, name: str, data: bytes) -> bool:
        from botocore.exceptions import ClientError

        key, what, proof = self._key(checked_name(name)), "", checksum(data)
        for attempt in range(_UNCLEAR_ATTEMPTS):
            with s3_errors(self._what, self.client):
                try:
                    self.client.put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*", **proof)
                except ClientError as error:
                    code, status = error_code(error)
                    if status == 412:
                        return False
                    if status == 501:
                        raise StoreError(
                            f"{self._what} has no conditional writes ({code}), so that two promotions could both win; "
                            "use a server that has them (docs/store.md)."
                        ) from None
                    if status != 409 and not passing(error):
                        raise
                    what = f"{code} (HTTP {status})"
                except s3_failures() as error:
                    if not passing(error) or attempt + 1 >= _UNCLEAR_ATTEMPTS or nobody_there(error):
                        raise
                    what = type(error).__name__
                else:
                    return True
            # 409 and, on older servers, 500: another writer was in the middle of the same name; a lost answer: nobody
            # knows. Who won is seen by looking; where nobody did, the write is tried again.
            if self._is_there(key):
                return False
            time.sleep(min(1.0, 0.05 * 2**attempt))
        raise StoreError(
            f"{self._what} answered {_UNCLEAR_ATTEMPTS} times with {what} to the creation of {name}; "
            "look at the server and try again."
        )

    def stat(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        start = self._key("")
        with s3_errors(self._what, self.client):
            for item in list_objects(self.client, self.bucket, start + prefix, page=_PAGE):
                yield item["Key"][len(start) :], item["LastModified"].timestamp(), int(item["Size"])

    def now(self) -> float:
        with s3_errors(self._what, self.client):
            answer = persistently(
                lambda: self.client.list_objects_v2(Bucket=self.bucket, Prefix=self._key("probe/"), MaxKeys=1)
            )
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            return parsedate_to_datetime(date).timestamp()
        except ValueError:  # every HTTP server dates its answers; one that does not cannot be asked
            return time.time()

    def remove(self, name: str) -> None:
        key = self._key(checked_removal(name))
        with s3_errors(self._what, self.client):
            persistently(lambda: self.client.delete_object(Bucket=self.bucket, Key=key))

    def unsafe(self) -> str | None:
        from botocore.exceptions import ClientError

        with s3_errors(self._what, self.client):
            try:
                status = persistently(lambda: self.client.get_bucket_versioning(Bucket=self.bucket)).get("Status")
            except ClientError as error:
                code, http = error_code(error)
                if http in (403, 405, 501) or code in ("NotImplemented", "MethodNotAllowed"):
                    return None  # not known: the race decides
                raise
        if not status:
            return None
        # Where it is suspended old versions stay, and a new write replaces the one that has no number.
        return (
            f"{self._what} lies in a bucket whose versioning is {status.lower()}, where servers let two racing writers "
            "both win: use a bucket that never had versioning."
        )

    def discard(self, name: str) -> None:
        if name.startswith("probe/"):
            try:
                self.client.delete_object(Bucket=self.bucket, Key=self._key(checked_name(name)))
            except s3_failures():
                return  # without the right to delete, a few small objects stay

    def _is_there(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        with s3_errors(self._what, self.client):
            try:
                persistently(lambda: self.client.head_object(Bucket=self.bucket, Key=key))
            except ClientError as error:
                if error_code(error)[1] == 404:
                    return False
                raise
        return True

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name
