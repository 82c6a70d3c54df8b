"""S3 servers that misbehave as real ones do: WSGI wrappers around moto, loaded by its process (``--middleware``)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def _conditional(environ: dict[str, Any]) -> bool:
    return environ["REQUEST_METHOD"] == "PUT" and "HTTP_IF_NONE_MATCH" in environ


def ignores_the_condition(application: Application) -> Application:
    """Overwrites, as rclone's server does."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ.pop("HTTP_IF_NONE_MATCH", None)
        return application(environ, start_response)

    return serve


def looks_then_writes(application: Application) -> Application:
    """Right for one writer after the other; two at once both win, as with Swift."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not _conditional(environ):
            return application(environ, start_response)
        seen: list[str] = []
        look = {key: value for key, value in environ.items() if key != "HTTP_IF_NONE_MATCH"}
        look.update(REQUEST_METHOD="HEAD", CONTENT_LENGTH="0")
        list(application(look, lambda status, *_: seen.append(status)))
        if seen[0].startswith("200"):
            return application(environ, start_response)
        time.sleep(0.03)
        environ.pop("HTTP_IF_NONE_MATCH")
        return application(environ, start_response)

    return serve


def has_no_conditions(application: Application) -> Application:
    """Answers 501, as servers without the feature do."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not _conditional(environ):
            return application(environ, start_response)
        return _error(environ, start_response, "501 Not Implemented", "NotImplemented")

    return serve


def says_conflict(application: Application) -> Application:
    """Tells a loser 409 where others say 412, and now and then 409 where nobody has won yet."""
    lock, asked = threading.Lock(), {"n": 0}

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not _conditional(environ):
            return application(environ, start_response)
        with lock:
            asked["n"] += 1
            too_early = asked["n"] % 3 == 0
        if too_early:
            return _error(environ, start_response, "409 Conflict", "ConditionalRequestConflict")
        answers: list[Any] = []
        body = list(application(environ, lambda *arguments: answers.append(arguments)))
        if answers[0][0].startswith("412"):
            return _error(environ, start_response, "409 Conflict", "ConditionalRequestConflict")
        start_response(*answers[0])
        return body

    return serve


def loses_answers(application: Application) -> Application:
    """Does what it is told, then answers 500: the client cannot know, sends it again, and meets its own object."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not _conditional(environ):
            return application(environ, start_response)
        answers: list[Any] = []
        body = list(application(environ, lambda *arguments: answers.append(arguments)))
        if answers[0][0].startswith("200"):
            return _error(environ, start_response, "500 Internal Server Error", "InternalError")
        start_response(*answers[0])
        return body

    return serve


def conflicts_after_writing(application: Application) -> Application:
    """Does what it is told, then says 409, as a gateway does that has sent the same request to its server twice."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not _conditional(environ):
            return application(environ, start_response)
        answers: list[Any] = []
        list(application(environ, lambda *arguments: answers.append(arguments)))
        return _error({}, start_response, "409 Conflict", "ConditionalRequestConflict")

    return serve


def lists_nothing_for_ever(application: Application) -> Application:
    """Says that there is more and lists none of it: a plant that waits for that end pulls nothing any more."""
    page = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
    )

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "list-type=2" not in environ["QUERY_STRING"]:
            return application(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/xml"), ("Content-Length", str(len(page)))])
        return [page]

    return serve


def has_no_ranges(application: Application) -> Application:
    """Sends the whole of an object whatever part of it was asked for."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ.pop("HTTP_RANGE", None)
        return application(environ, start_response)

    return serve


def keeps_a_part_to_itself(application: Application) -> Application:
    """Ends each object early, and sends nothing, without an error, where it is asked for the rest."""

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "GET" or "list-type=2" in environ["QUERY_STRING"]:
            return application(environ, start_response)
        headers = [("ETag", '"x"'), ("Content-Type", "binary/octet-stream")]
        if "HTTP_RANGE" in environ:
            start_response("206 Partial Content", [*headers, ("Content-Length", "0"), ("Content-Range", "bytes 4-4/9")])
            return [b""]
        start_response("200 OK", [*headers, ("Content-Length", "9")])
        return [b"four"]

    return serve


def _error(environ: dict[str, Any], start_response: Any, status: str, code: str) -> Iterable[bytes]:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length:
        environ["wsgi.input"].read(length)
    start_response(status, [("Content-Type", "application/xml")])
    return [f"<Error><Code>{code}</Code><Message>made by a test</Message></Error>".encode()]
