"""What an account spent by the hour, at the prices of now: the pace by which its credits will run out."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.money import Credits
from bot.prices import store as prices
from bot.prices.model import Markups, Price, PriceList
from bot.usage import hour_store

_LOOKED_BACK: Final = timedelta(weeks=12)  # by a forecast
_WHOLE: Final = 10_000  # basis points in one


async def spend_by_hour(tx: AsyncConnection, account_id: str, now: datetime) -> dict[datetime, Credits]:
    """As ``hour_store.spend_by_hour``; of the last weeks as if the prices and markups of now had held all the time.

    An hour does not know input from output. By how much a model is dearer now is told by a use that reads four tokens
    for each that it writes, which is exact where both changed alike. What has no price now counts as it was booked.
    """
    spent = {hour: credits.nano for hour, credits in (await hour_store.spend_by_hour(tx, account_id)).items()}
    if not spent:
        return {}
    since = now - _LOOKED_BACK
    changed = await prices.changed_since(tx, since)
    dated, of_models = PriceList(changed), {(price.provider, price.model) for price in changed}
    for hour, provider, model, nano in await hour_store.spend_on(tx, account_id, of_models, since):
        then, today = dated.at(provider, model, hour), dated.at(provider, model, now)
        if then and today and (before := _usual(then)):
            spent[hour] += nano * (_usual(today) - before) // before
    for _, plan, _ in await accounts.terms(tx, [account_id]):
        if not (dated_markups := await prices.every_markup(tx, [f"account:{account_id}", f"plan:{plan}"])):
            continue
        markups = Markups(dated_markups)
        today_whole = _WHOLE + markups.at(account_id, plan, now)
        for hour in spent:
            if hour >= since:
                spent[hour] = spent[hour] * today_whole // (_WHOLE + markups.at(account_id, plan, hour))
    return {hour: Credits(nano) for hour, nano in spent.items()}


def _usual(price: Price) -> int:
    return 4 * price.input + price.output
