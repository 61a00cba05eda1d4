"""The nonce in a form: made when it opens, signed, bound to one person in one workspace. One form, one purchase."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.accounts.model import Workspace
from bot.purchases.model import StaleForm

_VALID = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Nonces:
    """Makes nonces and tells whether one is ours. ``secret`` never leaves this object."""

    secret: bytes

    def make(self, workspace: Workspace, user_id: str, now: datetime) -> str:
        nonce = f"{secrets.token_urlsafe(12)}.{int(now.timestamp())}"
        return f"{nonce}.{self._sign(nonce, workspace, user_id)}"

    def check(self, signed: str, workspace: Workspace, user_id: str, now: datetime) -> str:
        """The nonce itself. Raise ``StaleForm`` when it is forged, somebody else's, or older than a day."""
        nonce, _, signature = signed.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(nonce, workspace, user_id).encode()):
            raise StaleForm()
        made = int(nonce.rpartition(".")[2])
        if abs(now.timestamp() - made) > _VALID.total_seconds():
            raise StaleForm()
        return nonce

    def _sign(self, nonce: str, workspace: Workspace, user_id: str) -> str:
        bound = "\0".join(("buy", nonce, workspace.enterprise_id, workspace.team_id, user_id))
        return hmac.new(self.secret, bound.encode(), hashlib.sha256).hexdigest()[:32]
