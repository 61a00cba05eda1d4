"""The bot's own books as the page shows them: read from its database, in plain words."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account
from bot.app import Bot
from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.ledger.store import Record
from bot.money import Credits
from bot.purchases import store as purchases
from bot.sandbox.page import Account as AccountLine
from bot.sandbox.page import Entry, LedgerView
from bot.sandbox.page import Purchase as PurchaseLine
from bot.text import FALLBACK, texts_for
from bot.usage import store as usage
from bot.usage.store import Debit

_SHOWN = 50
_MEMOS = {"purchase": "Credits bought", "refund": "Refund", "dispute": "Dispute", "usage": "Used in GenStudio"}
_REASONS = {"no_price": "the model has no price yet", "overdrawn": "it is more than the overdraft allows"}


class Books:
    """Reads what the panel shows of a bot's own books."""

    def __init__(self, bot: Bot) -> None:
        self._database = bot.database
        self._uses: dict[str, Sequence[str]] = {}  # by cause of the entry; entries never change

    async def read(self) -> LedgerView:
        show = texts_for(FALLBACK).show
        audit = await verify(self._database)  # of a sandbox's few entries: the proof itself is shown, never a memory
        async with self._database.read() as tx:
            everybody = await accounts.every(tx)
            entries = await ledger.newest(tx, _SHOWN)
            fresh = [entry.cause for entry in entries if entry.cause not in self._uses]
            self._uses |= await _uses(tx, everybody, fresh)
            return LedgerView(
                accounts=[await _account_line(tx, each) for each in everybody],
                entries=[_entry_line(entry, self._uses.get(entry.cause, ())) for entry in entries],
                purchases=[
                    PurchaseLine(each.id, each.status, show(each.amount), each.buyer_id)
                    for each in await purchases.newest(tx, _SHOWN)
                ],
                verified=audit.ok,
            )


async def _account_line(tx: AsyncConnection, account: Account) -> AccountLine:
    balance = await ledger.balance(tx, account.id)
    waiting = [
        f"{each.count:,} × {each.model} not booked yet: {_REASONS.get(each.reason, each.reason)}"
        for each in await usage.waiting(tx, account.id)
    ]
    return AccountLine(account.name, account.plan, texts_for(FALLBACK).show(balance), _exact(balance), waiting)


def _entry_line(entry: Record, uses: Sequence[str]) -> Entry:
    memo = _MEMOS.get(entry.cause.partition(":")[0], entry.cause)
    postings = [(book, f"{'+' * (change.nano > 0)}{_exact(change)}") for book, change in entry.postings.items()]
    return Entry(entry.seq, entry.booked_at, entry.cause, memo, postings, uses)


async def _uses(tx: AsyncConnection, everybody: Iterable[Account], causes: Iterable[str]) -> dict[str, list[str]]:
    """What was used, in plain words, by the cause of its entry: a line for each account and model."""
    batches = [int(cause.removeprefix("usage:")) for cause in causes if cause.startswith("usage:")]
    told: dict[str, list[str]] = {}
    for account in everybody:
        for batch, debits in (await usage.debits(tx, account.id, batches)).items():
            of_model = groupby(sorted(debits, key=_model), _model)
            told.setdefault(f"usage:{batch}", []).extend(_used(model, list(some)) for model, some in of_model)
    return told


def _model(debit: Debit) -> str:
    return debit.model


def _used(model: str, debits: Sequence[Debit]) -> str:
    """Such as ``gpt-5, 2 uses: 1,200 tokens in, 350 out, 0.0118 credits``."""
    tokens = [debit.tokens for debit in debits]
    cached = sum(each.cached for each in tokens)
    counts = [
        f"{sum(each.input + each.written for each in tokens):,} tokens in",
        *([f"{cached:,} from cache"] if cached else []),
        f"{sum(each.output for each in tokens):,} out",
        f"{_exact(Credits(sum(debit.cost.nano for debit in debits)))} credits",
    ]
    uses = f", {len(debits):,} uses" if len(debits) > 1 else ""
    return f"{model}{uses}: {', '.join(counts)}"


def _exact(amount: Credits) -> str:
    """Every digit that matters: what a question costs is less than a cent."""
    return f"{Decimal(amount.exact):,f}"
