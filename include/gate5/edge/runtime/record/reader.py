"""Reads flight recorder files back, also those that nobody closed."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gate5.edge.runtime.record.recorder import METADATA, TOPIC
from gate5.edge.runtime.record.wire import Hello
from gate5.errors import InputError


@dataclass(frozen=True)
class Flight:
    """A file: what it is of, and its messages with their times in nanoseconds since 1970; whether it was closed."""

    hello: Hello
    times_ns: list[int]
    periods: list[dict[str, Any]]
    whole: bool


def read_flight(path: Path) -> Flight:
    """A flight recorder file; of one that breaks off, what is there.

    Raises:
        InputError: there is no such file, it is none of gate5's, or mcap is not installed.
    """
    try:
        from mcap.exceptions import McapError
        from mcap.records import Channel, Footer, Message, Metadata
        from mcap.stream_reader import StreamReader
    except ImportError:
        raise InputError("Flight recorder files need mcap: pip install 'gate5[plant]'.") from None
    hello: Hello | None = None
    times: list[int] = []
    periods: list[dict[str, Any]] = []
    topics: dict[int, str] = {}
    whole = False
    try:
        with path.open("rb") as file:
            for record in StreamReader(file).records:
                if isinstance(record, Metadata) and record.name == METADATA:
                    hello = Hello.from_dict(json.loads(record.metadata["hello"]))
                elif isinstance(record, Channel):
                    topics[record.id] = record.topic
                elif isinstance(record, Message) and topics.get(record.channel_id) == TOPIC:
                    periods.append(json.loads(record.data))
                    times.append(record.log_time)
                whole = isinstance(record, Footer)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (McapError, ValueError, KeyError, TypeError, struct.error) as error:
        if hello is None:
            raise InputError(f"{path} is not a flight recorder file of gate5 ({type(error).__name__}).") from None
    if hello is None:
        raise InputError(f"{path} is not a flight recorder file of gate5: it does not say of which release.")
    return Flight(hello, times, periods, whole)
