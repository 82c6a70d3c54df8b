"""Airflow's REST API v2, as far as gate5 needs it; standard library only, for machines that have no Airflow.

Who logs in gives a user and a password, or a token. Nothing of either ever stands in an error's text.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from gate5.errors import InputError, OperationError

TIMEOUT_S = 30.0


class AddressError(InputError):
    """The address cannot be Airflow's."""


class ApiError(OperationError):
    """The server answered with an error."""

    def __init__(self, status: int, detail: Any, method: str, path: str) -> None:
        self.status, self.detail = status, detail
        text = detail if isinstance(detail, str) else json.dumps(detail)
        super().__init__(f"Airflow answered {status} to {method} {path}: {text[:500]}")


class NoAnswerError(OperationError):
    """The server does not answer, or what answers is no Airflow."""


class Api:
    """A client with one user's login; ``timeout_s`` is how long one answer may take [s].

    Raises:
        AddressError: ``address`` is not a web server's.
    """

    def __init__(
        self, address: str, user: str = "", password: str = "", token: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.address, self.user, self._password = checked_address(address), user, password
        self._token, self.timeout_s = token, timeout_s

    @property
    def token(self) -> str:
        """The user's token, fetched when first needed."""
        if self._token is None:
            answer = self._send("POST", "/auth/token", {"username": self.user, "password": self._password}, None)
            self._token = str(answer["access_token"])
        return self._token

    def get(self, path: str, **query: Any) -> Any:
        """GET ``/api/v2/PATH``."""
        return self.call("GET", path + (f"?{urlencode(query)}" if query else ""))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Any method on ``/api/v2/PATH``; a user's expired token is renewed once.

        Raises:
            ApiError: the server answered with an error.
            NoAnswerError: it did not answer, or not as Airflow does.
        """
        try:
            return self._send(method, f"/api/v2/{path}", body, self.token)
        except ApiError as error:
            if error.status != 401 or not self.user:
                raise
            self._token = None
            return self._send(method, f"/api/v2/{path}", body, self.token)

    def run_path(self, dag_id: str, run_id: str) -> str:
        """The path of a run, every part quoted."""
        return f"dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> Any:
        """Start a run."""
        body = {"logical_date": None, "dag_run_id": run_id, "conf": conf}
        return self.call("POST", f"dags/{quote(dag_id, safe='')}/dagRuns", body)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All tasks of a run, mapped ones singly."""
        answer = self.get(f"{self.run_path(dag_id, run_id)}/taskInstances", limit=100)
        return list(answer["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int = -1) -> Any:
        """A value that a task left, or ``None``."""
        path = f"{self.run_path(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.get(path, map_index=map_index, deserialize="false", stringify="false")["value"]
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def end_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed; its tasks at work are ended and the others skipped."""
        self.call("PATCH", self.run_path(dag_id, run_id), {"state": "failed"})

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, **fields: Any) -> Any:
        """Answer a human-in-the-loop task that waits; ``fields``: of its form."""
        path = f"{self.run_path(dag_id, run_id)}/taskInstances/{task_id}/-1/hitlDetails"
        return self.call("PATCH", path, {"chosen_options": [option], "params_input": fields})

    def _send(self, method: str, path: str, body: Any, token: str | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers, method=method)  # noqa: S310 - checked
        try:
            with _opener(self.address).open(request, timeout=self.timeout_s) as response:
                text = response.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, _detail(error), method, path) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise NoAnswerError(
                f"The Airflow at {origin(self.address)} does not answer ({reason}); check the address and whether it "
                "is running."
            ) from None
        except (ValueError, http.client.HTTPException):
            raise NoAnswerError(
                f"What answers at {origin(self.address)} is not Airflow's API; check the address."
            ) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another host is not to be sent the token."""

    def redirect_request(self, *_: Any) -> None:
        return None


def checked_address(address: str) -> str:
    """Airflow's address without a slash at its end.

    Raises:
        AddressError: it is not the address of a web server, or holds a login.
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:  # a port that is no number
        usable = False
    if not usable or not address.isprintable() or " " in address:
        shown = address if "@" not in address else f"...@{address.rpartition('@')[2]}"  # a password may lie before it
        raise AddressError(f"Airflow's address {shown!r} is not http://HOST:PORT or https://HOST.")
    return address.rstrip("/")


def origin(address: str) -> str:
    """Scheme and host of an address: it may hold a login, which belongs into no message."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _opener(address: str) -> urllib.request.OpenerDirector:
    """A proxy of the environment is for addresses outside; this machine's own are reached without one."""
    here = urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
    return urllib.request.build_opener(_NoRedirect(), *([urllib.request.ProxyHandler({})] if here else []))


def _detail(error: urllib.error.HTTPError) -> Any:
    if 300 <= error.code < 400:
        return f"it redirects to {error.headers.get('Location')}; give that address"
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text).get("detail", text)
    except (ValueError, AttributeError):
        return text
