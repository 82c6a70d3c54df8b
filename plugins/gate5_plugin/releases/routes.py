"""The addresses of the pages "Releases". All of them read; what a person does is sent to Airflow's API by the form."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from gate5.config.models import ReleaseConfig
from gate5.errors import Gate5Error, StoreInputError
from gate5.store.artifact_store import ArtifactStore
from gate5.store.channel import MOVES
from gate5.store.entry import ChannelEntry
from gate5.store.manifest import manifest_name
from gate5.store.standing import Standing, standing
from gate5_plugin.releases import act, channels, pages, plants, release
from gate5_plugin.releases.candidates import Candidate, candidates
from gate5_plugin.releases.facts import Facts, facts, many
from gate5_plugin.releases.layout import ACTS, Site, page, problem
from gate5_plugin.security import HEADERS, REPORT_POLICY, acts, may_see_releases, page_policy, release_dags
from gate5_plugin.sources import default_config, default_path, log_of, opened, rest

router = APIRouter(dependencies=[Depends(may_see_releases)])


@dataclass(frozen=True)
class Source:
    """The store, or the sentence that says why there is none."""

    config: ReleaseConfig
    store: ArtifactStore | None
    trouble: tuple[str, ...] = ()


def source() -> Source:
    """The store of the default configuration, opened; nothing is asked of it yet."""
    try:
        return source_of(default_config())
    except Gate5Error as error:
        return Source(ReleaseConfig(), None, (str(error),))


def source_of(config: ReleaseConfig) -> Source:
    """The same of a configuration."""
    try:
        return Source(config, opened(config))
    except Gate5Error as error:
        return Source(config, None, (str(error),))


def recent(session: SessionDep, dag_ids: Annotated[Sequence[str], Depends(release_dags)]) -> Sequence[Candidate]:
    """The last candidates, of every kind of GPU whose runs the reader may see."""
    return candidates(session, dag_ids)


def addresses(request: Request, may: Annotated[Mapping[str, bool], Depends(acts)]) -> Site:
    """The plugin's address prefix as the browser sees it, behind a proxy's sub-path too."""
    return Site(str(request.scope.get("root_path", "")).rstrip("/"), may)


Here = Annotated[Site, Depends(addresses)]
From = Annotated[Source, Depends(source)]


@router.get("/releases")
def index(site: Here, found: From, last: Annotated[Sequence[Candidate], Depends(recent)]) -> HTMLResponse:
    """All channels, and the last candidates; a store that is down says so, and the rest stands."""
    lines: list[channels.Line] = []
    known: Mapping[str, Facts] = {}
    trouble = list(found.trouble)
    if found.store is not None:
        try:
            lines = channels.lines(found.store, found.config)
            known = many(found.store, [line.newest.release for line in lines if line.newest])
        except Gate5Error as error:
            rest(found.config, error)
            trouble.append(str(error))
    where = found.store.uri if found.store else ""
    return _page(lambda nonce: pages.index(site, where, lines, known, last, trouble, nonce))


@router.get("/releases/{channel}")
def channel(site: Here, found: From, channel: str, before: Annotated[int | None, Query(ge=1)] = None) -> HTMLResponse:
    """A channel with a page of its history."""
    try:
        store = _store(found)
        shown = channels.history(store, channel, before)
        if shown.line.newest is None and channel not in channels.names(store, found.config):
            return _missing(site, channel, f"The store has no channel {channel}.")
        current = [shown.line.newest.release] if shown.line.newest else []
        known = many(store, [*current, *(entry.release for entry in channels.moves(shown.entries))])
    except Gate5Error as error:
        rest(found.config, error)
        return _trouble(site, channel, error)
    return _page(lambda nonce: pages.channel(site, channel, shown, known, nonce))


@router.get("/releases/{channel}/{release_id}")
def one(site: Here, found: From, channel: str, release_id: str) -> HTMLResponse:
    """A release of a channel."""
    try:
        store = _store(found)
        manifest_name(release_id)  # whether it can be one's name
        shown = facts(store, release_id)
        if shown.release is None and shown.problem == "the store has no such release":
            return _missing(site, release_id, f"The store has no release {release_id}.")
        stands = _standing(store, channel, release_id)
        put = stands.since if stands else None
        earlier = channels.before(store, channel, put) if put else None
        old = facts(store, earlier) if earlier else None
        hold = channels.hold_on(store, channel, shown.release) if shown.release else None
        said = plants.reported(store, channel, release_id)
    except Gate5Error as error:
        rest(found.config, error)
        return _trouble(site, release_id, error)
    return _page(lambda nonce: release.release(site, channel, shown, stands, put, old, hold, said, nonce))


@router.get("/releases/{channel}/{release_id}/report")
def report(found: From, channel: str, release_id: str) -> Response:
    """The report that is in a release, in a sandbox of its own."""
    data = _pieces(found, release_id, "report.html")
    headers = {**HEADERS, "Content-Security-Policy": REPORT_POLICY}
    return StreamingResponse(data, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/releases/{channel}/{release_id}/manifest")
def manifest(found: From, channel: str, release_id: str) -> Response:
    """The signed manifest."""
    try:
        data = _store(found).backend.read(manifest_name(release_id))
    except Gate5Error as error:
        raise HTTPException(_code(error), str(error)) from None
    if data is None:
        raise HTTPException(404, "There is no such release.")
    return Response(data, media_type="application/octet-stream", headers=_attached(f"{release_id}.manifest.json"))


@router.get("/releases/{channel}/{release_id}/files/{name:path}")
def file(found: From, channel: str, release_id: str, name: str) -> Response:
    """A file of a release, to be kept and never shown by the browser."""
    pieces = _pieces(found, release_id, name)
    headers = _attached(name.rsplit("/", 1)[-1])
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


@router.get("/act/{verb}")
def form(site: Here, found: From, verb: str, channel: str = "", release: str = "") -> HTMLResponse:
    """The form of the DAG behind a button, filled in; opening it does nothing."""
    if verb not in ACTS:
        return _missing(site, "Releases", "There is no such form.")
    offered = _offered(found, verb, channel)
    return _page(lambda nonce: act.form(site, verb, channel, release, default_path(), offered, nonce))


def _offered(found: Source, verb: str, name: str) -> Sequence[tuple[str, str]]:
    """Releases that the form offers: those of the channel's newest entries; a store that is down offers none."""
    if found.store is None or not name:
        return ()
    try:
        return channels.offered(channels.history(found.store, name), verb)
    except Gate5Error:
        return ()


def _standing(store: ArtifactStore, channel: str, release_id: str) -> Standing | None:
    """Where a release stands on a channel; the entry that put it there is looked for among the newest."""
    log = log_of(store, channel)
    newest = log.newest()
    if newest is None:
        return None
    bottom = max(1, newest.sequence - 4 * channels.PAGE)
    first = next((n for n in range(newest.sequence, bottom - 1, -1) if _puts(log.at(n), release_id)), None)
    return standing(log, release_id, first or 1)


def _puts(entry: ChannelEntry, release_id: str) -> bool:
    return entry.release == release_id and entry.kind in MOVES


def _pieces(found: Source, release_id: str, name: str) -> Iterator[bytes]:
    """A file's bytes; that it is there is found out before the answer begins."""
    try:
        store = _store(found)
        known = facts(store, release_id)
        digest = known.release.files.get(name) if known.release else None
        if digest is None:
            raise HTTPException(404, f"The release has no file {name}.")
        pieces = store.stream_blob(digest)
        first = next(pieces, b"")
    except Gate5Error as error:
        raise HTTPException(_code(error), str(error)) from None

    def every() -> Iterator[bytes]:
        yield first
        yield from pieces

    return every()


def _attached(name: str) -> dict[str, str]:
    named = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return {**HEADERS, "Content-Disposition": named, "Content-Security-Policy": "sandbox; default-src 'none'"}


def _store(found: Source) -> ArtifactStore:
    if found.store is None:
        raise StoreInputError(found.trouble[0])
    return found.store


def _page(drawn: act.Drawn, code: int = 200) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    return HTMLResponse(drawn(nonce), code, headers={**HEADERS, "Content-Security-Policy": page_policy(nonce)})


def _missing(site: Site, title: str, text: str) -> HTMLResponse:
    trail = [("Releases", site.releases()), (title, None)]
    return _page(lambda nonce: page(site, title, trail, [problem(text)], nonce), 404)


def _trouble(site: Site, title: str, error: Gate5Error) -> HTMLResponse:
    trail = [("Releases", site.releases()), (title, None)]
    return _page(lambda nonce: page(site, title, trail, [problem(str(error))], nonce), _code(error))


def _code(error: Gate5Error) -> int:
    """Bad input in the address (a name that is none) is the reader's; all else is the store's."""
    return 404 if isinstance(error, StoreInputError) and " is not a" in str(error) else 503
