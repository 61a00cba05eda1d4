"""Rows that one process at a time is at: which are free, said once for every table that is worked off so."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, or_


class Leases:
    """``due_at`` is when a row's time comes, ``until`` when the lease of whoever is at it ends.

    ``lease`` and ``farthest`` are how far ahead they are set at most. Claiming sets ``until``, and whatever follows
    names the lease it was made under.
    """

    def __init__(
        self,
        due_at: ColumnElement[datetime],
        until: ColumnElement[datetime | None],
        *,
        lease: timedelta,
        farthest: timedelta,
    ) -> None:
        self._lease = lease
        self._farthest = farthest
        self.free = and_(
            or_(due_at <= bindparam("now"), due_at > bindparam("no_wait")),
            or_(until.is_(None), until <= bindparam("now"), until > bindparam("no_lease")),
        )
        """Its time has come and nobody is at it. Asked with ``moments``."""

    def moments(self, now: datetime, **more: object) -> dict[str, object]:
        """The parameters of ``free``, and ``leased_until`` for whoever claims.

        A time far ahead was set before the clock was set back; one a little ahead, by a process whose clock is before
        ours.
        """
        return {
            "now": now,
            "leased_until": now + self._lease,
            "no_lease": now + 2 * self._lease,
            "no_wait": now + 2 * self._farthest,
            **more,
        }
