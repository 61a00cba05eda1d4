"""``credits-bot prices``: what models cost, from when on, and with which markup."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any, BinaryIO

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts.model import Plan
from bot.cli.common import JSON, Opened, asynchronous, found
from bot.clock import SystemClock
from bot.db.engine import Database
from bot.errors import Unusable
from bot.prices import files, proposed, store
from bot.prices.model import Price, PriceList, Unacceptable, percent, when, with_ends


class _Moment(click.ParamType[datetime]):
    """A day, which begins in UTC, or an instant."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else files.moment(value)
        except ValueError as wrong:
            self.fail(str(wrong), param, ctx)


class _Percent(click.ParamType[int]):
    """A percentage with at most two decimals, in basis points."""

    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        read = re.fullmatch(r"([0-9]{1,4})(?:\.([0-9]{1,2}))? ?%?", value)
        if read is None:
            self.fail(f"{value!r} is no percentage: write 15 or 12.5", param, ctx)
        return int(read[1]) * 100 + int((read[2] or "").ljust(2, "0"))


FROM = click.option("--from", "since", type=_Moment(), metavar="DATE", help="From when on; now unless said.")


@click.group(name="prices")
def prices_group() -> None:
    """What models cost. A change is a new row with its date; what was booked keeps the price of its day."""


@prices_group.command(name="list")
@click.option("--at", type=_Moment(), metavar="DATE", help="Only what holds then.")
@JSON
@asynchronous
async def prices_list(at: datetime | None, as_json: bool) -> None:
    """Show the prices, in dollars per million tokens, and the markups."""
    async with Opened(migrated=True) as database, database.read() as tx:
        known, markups = await store.every(tx), await store.every_markup(tx)
    shown = with_ends(known)
    if at is not None:
        shown = PriceList(shown).holding(at)
        markups = [*{dated[0]: dated for dated in markups if dated[1] <= at}.values()]  # the newest of each scope
    told = [_markup(dated) for dated in markups]
    if as_json:
        click.echo(json.dumps({"prices": [files.facts(price) for price in shown], "markups": told}, indent=2))
        return
    if known and not shown:
        click.echo("No price holds then.")
    elif not shown:
        click.echo("There are no prices: credits-bot prices import or propose brings them.")
    else:
        _table([files.COLUMNS, *(_cells(price) for price in shown)])
    for markup in told:
        click.echo(_in_words(markup))


@prices_group.command(name="import")
@click.argument("file", type=click.File("rb"), required=False)
@click.option(
    "--start", is_flag=True, help="The table of well-known models that comes with the bot, instead of a FILE."
)
@JSON
@asynchronous
async def prices_import(file: BinaryIO | None, start: bool, as_json: bool) -> None:
    """Take the prices of FILE, a CSV or JSON such as export writes, or none of them when one is wrong."""
    if (file is None) is not start:
        raise click.UsageError("give either a FILE or --start")
    try:
        rows = files.read(file.read()) if file else [("--start", price) for price in files.starting_table()]
    except files.BadRows as bad:
        raise click.ClickException(_nothing(bad.problems)) from None
    async with Opened(migrated=True, makes=True) as database:
        with _told([where for where, _ in rows]):
            written = await database.write(lambda tx: store.add_all(tx, [price for _, price in rows], _now()))
    if as_json:
        click.echo(json.dumps({"written": [files.facts(price) for price in written], "read": len(rows)}, indent=2))
    else:
        click.echo(f"{len(written)} of {len(rows)} prices written, the others were there already.")


@prices_group.command(name="export")
@JSON
@asynchronous
async def prices_export(as_json: bool) -> None:
    """Write all prices as CSV, or as JSON, the way import reads them."""
    async with Opened(migrated=True) as database, database.read() as tx:
        known = await store.every(tx)
    click.echo(files.to_json(known) if as_json else files.to_csv(known), nl=as_json)


@prices_group.command(name="propose")
@click.option("--provider", "providers", multiple=True, help="May be repeated. Those that have prices, unless named.")
@click.option("--model", "models", multiple=True, help="May be repeated. All of the providers', unless named.")
@FROM
@click.option("--yes", is_flag=True, help="Write what is new and changed without asking.")
@JSON
@asynchronous
async def prices_propose(
    providers: tuple[str, ...], models: tuple[str, ...], since: datetime | None, yes: bool, as_json: bool
) -> None:
    """Compare the prices with those of genai-prices, and write what you confirm. With --json it asks nothing."""
    async with Opened(migrated=True, makes=True) as database:
        async with database.read() as tx:
            known = await store.every(tx)
        proposal = _proposal(providers, models, since or _now(), known)
        compared = proposal.against(known)
        if not as_json:
            _show(compared, proposal)
        taken = compared.wanted and (yes or (not as_json and click.confirm(f"Write {len(compared.wanted)} prices?")))
        written = await _take(database, proposal, compared) if taken else []
    if as_json:
        click.echo(json.dumps({**_compared(compared, proposal), "written": len(written)}, indent=2))
    else:
        click.echo(f"{len(written)} prices written.")


@prices_group.command(name="markup")
@click.option("--plan", type=click.Choice([plan.value for plan in Plan]))
@click.option("--account", metavar="ID")
@click.argument("percent", type=_Percent())
@FROM
@JSON
@asynchronous
async def prices_markup(
    plan: str | None, account: str | None, percent: int, since: datetime | None, as_json: bool
) -> None:
    """Put PERCENT on top of the prices, for a plan or for an account, whose own markup comes first."""
    if (plan is None) is (account is None):
        raise click.UsageError("give either --plan or --account")
    scope = f"plan:{plan}" if plan else f"account:{account}"
    since = since or _now()

    async def write(tx: AsyncConnection) -> bool:
        if account is not None:
            await found(tx, account)
        return await store.set_markup(tx, scope, percent, since, _now())

    async with Opened(migrated=True) as database:
        with _told():
            new = await database.write(write)
    told = _markup((scope, since, percent))
    if as_json:
        click.echo(json.dumps({**told, "new": new}, indent=2))
    else:
        click.echo(f"{_in_words(told)}{'' if new else ' (it was there already)'}")


@prices_group.command(name="expire")
@click.argument("provider")
@click.argument("model")
@click.argument("date", type=_Moment())
@JSON
@asynchronous
async def prices_expire(provider: str, model: str, date: datetime, as_json: bool) -> None:
    """Let the price of MODEL end on DATE. Its use from then on waits for a new price."""
    async with Opened(migrated=True) as database:
        with _told():
            price = await database.write(lambda tx: store.expire(tx, provider, model, date, _now()))
    if as_json:
        click.echo(json.dumps(files.facts(price), indent=2))
    else:
        click.echo(f"{price} holds until {when(date)}.")


def _now() -> datetime:
    return SystemClock().now().replace(microsecond=0)


def _proposal(
    providers: Sequence[str], models: Sequence[str], since: datetime, known: Iterable[Price]
) -> proposed.Proposal:
    try:
        asked = providers or sorted({price.provider for price in known} & proposed.providers_listed())
        if not asked:
            raise click.UsageError("name the providers: --provider openai --provider anthropic")
        with _told():
            return proposed.propose(asked, models, since)
    except ModuleNotFoundError:
        raise Unusable("genai-prices is not installed: pip install -e '.[prices]'") from None


async def _take(database: Database, proposal: proposed.Proposal, confirmed: proposed.Comparison) -> list[Price]:
    """Write what was confirmed, unless it is not what would change any more."""

    async def write(tx: AsyncConnection) -> list[Price]:
        if proposal.against(await store.every(tx)) != confirmed:
            raise Unacceptable("somebody else has changed the prices meanwhile: look again")
        return await store.add_all(tx, confirmed.wanted, _now())

    with _told([str(price) for price in confirmed.wanted]):
        return await database.write(write)


@contextmanager
def _told(places: Sequence[str] = ()) -> Iterator[None]:
    """What may not be written becomes a sentence, or one for each of the ``places`` it came from."""
    try:
        yield
    except Unacceptable as wrong:
        raise click.ClickException(str(wrong)) from None
    except store.BadPrices as bad:
        raise click.ClickException(_nothing((places[index], reason) for index, reason in bad.problems)) from None


def _nothing(problems: Iterable[tuple[str, str]]) -> str:
    return "\n".join(["nothing was written:", *(f"{where}: {reason}" for where, reason in problems)])


def _show(compared: proposed.Comparison, proposal: proposed.Proposal) -> None:
    """What would change as a table, and what it leaves out."""
    rows = [("new", *_cells(price)) for price in compared.new]
    rows += [("changed", *map(_step, _cells(old), _cells(new))) for old, new in compared.changed]
    rows += [("not listed", *_cells(price)) for price in compared.gone]
    if rows:
        _table([("", *files.COLUMNS), *rows])
    wanted = compared.wanted
    asides = [(aside, offer.price.model) for offer in proposal.offers if offer.price in wanted for aside in offer.aside]
    for aside, names in _grouped(asides).items():
        click.echo(f"not covered: {aside} of {names}")
    for reason, names in _grouped([(each.reason, each.model) for each in proposal.skipped]).items():
        click.echo(f"skipped, because {reason}: {names}")
    click.echo(
        f"{len(compared.new)} new, {len(compared.changed)} changed, {len(compared.same)} the same, "
        f"{len(compared.gone)} not listed by genai-prices, {len(proposal.skipped)} skipped"
    )


def _compared(compared: proposed.Comparison, proposal: proposed.Proposal) -> dict[str, object]:
    return {
        "new": [files.facts(price) for price in compared.new],
        "changed": [{"from": files.facts(old), "to": files.facts(new)} for old, new in compared.changed],
        "same": len(compared.same),
        "gone": [files.facts(price) for price in compared.gone],
        "skipped": [asdict(each) for each in proposal.skipped],
    }


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    groups: dict[str, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return {key: ", ".join(names) for key, names in groups.items()}


def _cells(price: Price) -> tuple[str, ...]:
    return tuple(cell or "–" for cell in files.facts(price).values())


def _step(old: str, new: str) -> str:
    return new if old == new else f"{old} → {new}"


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Print columns, with figures under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if name in files.FIGURES else cell.ljust(width)
            for name, cell, width in zip(rows[0], row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _markup(dated: tuple[str, datetime, int]) -> dict[str, str]:
    scope, since, basis_points = dated
    return {"scope": scope, "percent": percent(basis_points), "effective_date": when(since)}


def _in_words(markup: Mapping[str, str]) -> str:
    return f"markup of {markup['percent']} % for {markup['scope']} from {markup['effective_date']}"
