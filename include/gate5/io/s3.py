"""What the workspace and the artifact store share about S3: a client that fails soon, and errors as sentences."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from gate5.errors import Gate5Error, StoreError, StoreInputError

CONNECT_SECONDS = 3
READ_SECONDS = 20
HURRIED_READ_SECONDS = 4
ATTEMPTS = 2
TRIES = 10
BUDGET_SECONDS = 45.0
CHUNK = 2**20
PAGE = 1000
#: Servers may answer with a page that has no key though more follow, but not for ever.
EMPTY_PAGES = 50

_KEY_REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthorizationHeaderMalformed",
}
_NOT_ALLOWED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403"}
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
_PASSING = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "ThrottlingException"}
_NO_URL = "(not a URL)"
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "301", "IllegalLocationConstraintException"}


def make_client(
    endpoint: str | None = None,
    region: str | None = None,
    *,
    access_key: str | None = None,
    secret_key: str | None = None,
    hurry: bool = False,
) -> Any:
    """A boto3 S3 client with short time-outs and few attempts.

    Args:
        endpoint: the server's URL; ``None``: ``$AWS_ENDPOINT_URL_S3``, ``$AWS_ENDPOINT_URL``, else AWS.
        region: ``None``: as boto3 finds it (``$AWS_DEFAULT_REGION``).
        access_key, secret_key: ``None``: as boto3 finds them (``$AWS_ACCESS_KEY_ID``, ``~/.aws``, the machine's role).
        hurry: for a person who waits for a page: a server that does not answer is given up within ten seconds.

    Raises:
        StoreInputError: boto3 is not installed, or the endpoint is not a URL.
    """
    try:
        import boto3  # type: ignore[import-untyped,unused-ignore]
        from botocore.config import Config  # type: ignore[import-untyped,unused-ignore]
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise StoreInputError("An s3:// address needs boto3: run `pip install 'gate5[store]'`.") from None
    elsewhere = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=HURRIED_READ_SECONDS if hurry else READ_SECONDS,
        retries={"total_max_attempts": 1 if hurry else ATTEMPTS, "mode": "standard"},
        # A server that is not AWS rarely has a DNS name for each bucket.
        s3={"addressing_style": "path" if elsewhere else "auto"},
    )
    try:
        if public_url(elsewhere) == _NO_URL:
            raise ValueError
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        raise StoreInputError(
            f"No S3 client can be made for the endpoint {public_url(elsewhere) or None} and the region {region} "
            f"({type(error).__name__}): give a URL such as http://host:9000 and a region such as eu-central-1."
        ) from None


def checksum(data: bytes) -> dict[str, str]:
    """The arguments with which ``put_object`` lets the server check the bytes (servers ignore the value alone)."""
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest}


def public_url(url: str | None) -> str:
    """A URL without user name, password and query, fit for a message."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, or too large
        usable = False
    if not usable:
        return _NO_URL
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextlib.contextmanager
def s3_errors(what: str, client: Any) -> Iterator[None]:
    """Turn botocore's errors into gate5's; ``what`` is how a sentence begins: ``The artifact store s3://b/p``.

    Raises:
        StoreInputError: the address or the credentials are wrong.
        StoreError: the server cannot be reached or failed.
    """
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        raise _refused(error, what) from None
    except s3_failures() as error:
        raise _failed(error, what, public_url(client.meta.endpoint_url)) from None


def s3_failures() -> tuple[type[Exception], ...]:
    """Every kind of error that a call of boto3's S3 client ends with."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError  # type: ignore[import-untyped,unused-ignore]
    from urllib3.exceptions import HTTPError

    # The parser's: a listing that broke off. urllib3's own: an answer's body that broke off where botocore wanted the
    # whole of it (a listing, the text of an error), which it does not turn into an error of its own.
    return BotoCoreError, ClientError, ResponseParserError, HTTPError


Result = TypeVar("Result")


class Patience:
    """How often and how long one operation is tried: each failure waits longer, until tries or seconds are used up.

    A server that does not answer at all is given up soon; one that answers now and then gets all tries.
    """

    def __init__(self, tries: int = TRIES, seconds: float = BUDGET_SECONDS) -> None:
        self._left, self._end, self._failed = tries, time.monotonic() + seconds, 0

    def again(self, error: Any) -> bool:
        """Whether to try again, after a pause; ``False`` at once for an error that will not pass."""
        if not passing(error):
            return False
        self._failed += 1
        self._left -= 1
        pause = random.uniform(0.5, 1) * min(2.0, 0.05 * 2**self._failed)  # noqa: S311 (only spreads callers)
        if self._left <= (TRIES - ATTEMPTS if nobody_there(error) else 0) or time.monotonic() + pause > self._end:
            return False
        time.sleep(pause)
        return True


def passing(error: Any) -> bool:
    """Whether an error of botocore is one that may be gone a moment later: the network's, or a busy server's."""
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        code, status = error_code(error)
        return status in (429, 500, 502, 503, 504) or code in _PASSING
    if isinstance(error, s3_failures()) and not isinstance(error, known.BotoCoreError):
        return True  # an answer that broke off
    return isinstance(error, known.HTTPClientError | known.ConnectionError | known.IncompleteReadError)


def nobody_there(error: Any) -> bool:
    """Whether a server did not answer at all."""
    from botocore import exceptions as known

    silent = (known.EndpointConnectionError, known.ConnectTimeoutError, known.ReadTimeoutError)
    return isinstance(error, silent)


def persistently(call: Callable[[], Result]) -> Result:
    """What ``call`` gives, tried again where the error may pass."""
    patience = Patience()
    while True:
        try:
            return call()
        except s3_failures() as error:
            if not patience.again(error):
                raise


def list_objects(
    client: Any, bucket: str, prefix: str, limit: int | None = None, page: int = PAGE
) -> Iterator[dict[str, Any]]:
    """The objects whose keys begin with ``prefix``, as a server lists them (``Key``, ``LastModified``, ``Size``).

    Args:
        limit: no more than these are asked for: the newest entry of a channel costs one small request.
        page: keys that one request asks for at most.

    Raises:
        ``s3_failures()``: it failed, and tries are used up.
        StoreError: its answers lead nowhere.
    """
    more, left, empty = dict[str, str](), limit, 0
    while left is None or left > 0:
        size = page if left is None else min(page, left)
        answer = persistently(
            lambda size=size, more=more: client.list_objects_v2(  # type: ignore[misc]
                Bucket=bucket, Prefix=prefix, MaxKeys=size, **more
            )
        )
        found = answer.get("Contents", [])
        yield from found
        if not answer.get("IsTruncated"):
            return
        left, empty = None if left is None else left - len(found), 0 if found else empty + 1
        token = answer.get("NextContinuationToken")
        if not token or empty > EMPTY_PAGES:
            raise StoreError(
                f"The server at {public_url(client.meta.endpoint_url)} says that it has more objects under {prefix!r} "
                "in the bucket and does not list them; look at the server."
            )
        more = {"ContinuationToken": token}


def read_object(client: Any, bucket: str, key: str) -> Iterator[bytes]:
    """An object's bytes in pieces; a body that breaks off is asked for again from where it broke.

    The first piece is empty and comes when the object is known to exist, before its body is read.

    Raises:
        ``s3_failures()``: the object is missing (``NoSuchKey``), was replaced meanwhile, or tries are used up.
    """
    from botocore.exceptions import IncompleteReadError

    at, total, more, patience = 0, None, dict[str, str](), Patience()
    while total is None or at < total:
        try:
            answer = client.get_object(Bucket=bucket, Key=key, **more)
            if total is None:
                total = int(answer["ContentLength"])
                more = {"IfMatch": answer["ETag"]}
                yield b""
            # A server that has no ranges begins again.
            before, again = at, at if "ContentRange" not in answer else 0
            for piece in answer["Body"].iter_chunks(CHUNK):
                new, again = piece[again:], max(0, again - len(piece))
                if new:
                    at += len(new)
                    patience = Patience()  # it goes on: only a standstill uses up the tries
                    more["Range"] = f"bytes={at}-"
                    yield new
            if at == before < total:
                raise IncompleteReadError(actual_bytes=at, expected_bytes=total)
        except s3_failures() as error:
            if not patience.again(error):
                raise


def error_code(error: Any) -> tuple[str, int]:
    """The S3 code and the HTTP status of a botocore ``ClientError``."""
    response = getattr(error, "response", {})
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return str(response.get("Error", {}).get("Code", "")), int(status or 0)


def _refused(error: Any, what: str) -> Gate5Error:
    code, status = error_code(error)
    if code == "NoSuchBucket":
        return StoreInputError(f"{what} cannot be used: the bucket does not exist; make it, or correct the name.")
    if code in _KEY_REFUSED:
        return StoreInputError(
            f"{what} refused the credentials ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the region, "
            "or the Airflow connection that holds them."
        )
    if code == "RequestTimeTooSkewed":
        return StoreError(f"{what} refused the time of this machine's clock ({code}): set the clock and try again.")
    if code in _FULL or status == 507:
        return StoreError(f"{what} is full ({code or status}): free some space or raise the quota, and try again.")
    if code in _NOT_ALLOWED or status == 403:
        return StoreInputError(
            f"{what} does not allow this ({code}); the credentials are known there but need the right to list, get and "
            "put objects under this prefix."
        )
    if code in _ELSEWHERE or status in (301, 307):
        return StoreInputError(f"{what} lies in another region ({code}); set the bucket's own region.")
    if code == "InvalidBucketName":
        return StoreInputError(f"{what} cannot be used: no bucket can have this name; correct the address.")
    if status in (400, 404, 405) and code == str(status):
        return StoreInputError(
            f"{what} cannot be used: what answers at the endpoint (HTTP {status}) is not an S3 server; correct the "
            "endpoint's address."
        )
    return StoreError(f"{what} failed with {code or 'no code'} (HTTP {status}); look at the server and try again.")


def _failed(error: Any, what: str, endpoint: str) -> Gate5Error:
    from botocore import exceptions as known

    if isinstance(error, known.NoCredentialsError | known.PartialCredentialsError | known.CredentialRetrievalError):
        return StoreInputError(
            f"{what} needs credentials and none were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name "
            "an Airflow connection in store.connection."
        )
    if isinstance(error, known.ParamValidationError):
        return StoreInputError(f"{what} cannot be used: {_first_line(error)}; correct the address.")
    if isinstance(error, known.NoRegionError):
        return StoreInputError(f"{what} needs a region; set store.region or AWS_DEFAULT_REGION.")
    return StoreError(
        f"{what} cannot be reached at {endpoint} ({type(error).__name__}); check that the server runs, the endpoint's "
        "address and the network between."
    )


def _first_line(error: Any) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
