"""Named moments at which a test can stop the process. In production each of them is a call that does nothing."""

from collections.abc import Callable


def _nothing(name: str) -> None:
    return None


_hook: Callable[[str], None] = _nothing


def faultpoint(name: str) -> None:
    """Mark the moment ``name``, such as ``K10``: confirmed at Stripe, the answer not yet here."""
    _hook(name)


def arm(hook: Callable[[str], None]) -> None:
    """Let ``hook`` see every moment from now on."""
    global _hook
    _hook = hook
