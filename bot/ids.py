"""New identifiers: unique, and in the order of their making, because databases insert ordered keys faster."""

import secrets
import uuid
from collections.abc import Callable
from datetime import datetime

NewId = Callable[[str, datetime], str]


def new_id(prefix: str, at: datetime) -> str:
    """An id such as ``pur_0199…``: a version 7 UUID (RFC 9562) of the moment ``at``, behind what it names."""
    stamp = int(at.timestamp() * 1000)
    value = stamp << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return f"{prefix}_{uuid.UUID(int=value).hex}"
