"""The weekly digest: what an account spent, on what, how long the rest lasts, and one sentence of advice."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from babel.dates import format_interval
from slack_sdk.models.blocks import ActionsBlock, SectionBlock

from bot.alerts.views import Outlook, Said, buy, stands
from bot.money import GREATEST, NANO_PER_CREDIT, Credits, Usd
from bot.slack import charts, mrkdwn
from bot.slack.buttons import ask_the_owner
from bot.text import Texts

_SOON: Final = timedelta(weeks=2)  # run out by then, and the advice is to buy
_MUCH: Final = 60  # percent of the spend


def digest(texts: Texts, outlook: Outlook, spent: Mapping[date, Mapping[str, Credits]]) -> Said:
    """A week in which something was spent: by day (oldest first, all of them) and by model."""
    models = charts.sums(spent.values())
    used = charts.total(models.values())
    week = format_interval(min(spent), max(spent), "MMMMd", locale=texts.locale)
    model, cost = next(iter(models.items()))
    to_buy = _to_buy(outlook, used)
    said = " ".join(
        [
            stands(texts, "alert.digest", outlook, used=used, week=week),
            texts("alert.digest_most", model=mrkdwn.escape(model), cost=cost),
            texts("alert.advice_buy", amount=texts.short(to_buy)) if to_buy else _advice(texts, models, used),
        ]
    )
    buying = [ActionsBlock(elements=[buy(texts), ask_the_owner(texts)])] if to_buy else []
    return said, [SectionBlock(text=said), *charts.by_day(texts, spent), *buying]


def _to_buy(outlook: Outlook, used: Credits) -> Usd | None:
    """What lasts for four weeks; None where what there is lasts long enough."""
    found, left = outlook.run_out, outlook.balance.nano
    if not (found.likely - outlook.now < _SOON if found else left < used.nano * 2):
        return None
    missing = (found.per_day * 28 if found else used.nano * 4) - left
    return min(Usd.dollars(max(1, -(-missing // NANO_PER_CREDIT))), GREATEST)


def _advice(texts: Texts, models: Mapping[str, Credits], used: Credits) -> str:
    model, cost = next(iter(models.items()))
    percent = cost.nano * 100 // used.nano
    if len(models) > 1 and percent >= _MUCH:
        return texts("alert.advice_model", model=mrkdwn.escape(model), percent=percent)
    return texts("alert.advice_none")
