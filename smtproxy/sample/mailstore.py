"""Puts the sample backend's messages on disk, so that a new user sees the mail arrive.

Each message becomes `TIME-COUNTER.eml`, exactly its octets, and the envelope `TIME-COUNTER.json` beside it. A name
never holds anything a client sent, and a message is never seen half written. Nothing is ever read back or removed.
"""

import contextlib
import itertools
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from smtproxy.sample.record import Delivery

_ATTEMPTS = 100  # names tried when another process took one in the same microsecond


def _now() -> datetime:
    return datetime.now(tz=UTC)


class MailStore:
    """A directory of messages; made when the first one comes."""

    def __init__(self, directory: Path, now: Callable[[], datetime] = _now) -> None:
        self._directory = directory
        self._now = now
        self._counter = itertools.count(1)

    def save(self, delivery: Delivery) -> Path:
        """Write the message; -> its file. OSError: it is not stored, and no part of it stays. It may block."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        envelope = json.dumps(_envelope(delivery), ensure_ascii=False, indent=2).encode() + b"\n"
        stem = self._reserve()
        partial, described = stem.with_suffix(".partial"), stem.with_suffix(".json")
        message = stem.with_suffix(".eml")
        try:
            partial.write_bytes(delivery.body)
            described.write_bytes(envelope)
            partial.rename(message)
        except OSError:
            for path in (partial, described):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
        return message

    def _reserve(self) -> Path:
        """A name that is nobody else's: its `.partial` was made by us."""
        for _attempt in range(_ATTEMPTS):
            stem = self._directory / f"{self._now():%Y%m%dT%H%M%S%fZ}-{next(self._counter):06}"
            if stem.with_suffix(".eml").exists():
                continue
            with contextlib.suppress(FileExistsError):
                os.close(os.open(stem.with_suffix(".partial"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                return stem
        raise FileExistsError(f"no free name in {self._directory}")


def _envelope(delivery: Delivery) -> dict[str, object]:
    return {
        "client": delivery.client,
        "hello": delivery.hello,
        "sender": delivery.sender,
        "parameters": delivery.parameters,
        "recipients": [{"address": to.address, "parameters": to.parameters} for to in delivery.recipients],
        "via": delivery.via,
        "octets": delivery.octets,
        "internal_id": delivery.internal_id,
    }
