"""What leaves the API: copies of objects, opened up where ``expand`` asks for it, and lists by the page."""

import copy
from collections.abc import Callable, Iterable

from bot.sandbox.stripe.errors import JsonObject, invalid, no_such
from bot.sandbox.stripe.state import Shelf, State

DEEPEST_EXPANSION = 4
USUAL_LIMIT = 10


class Rendering:
    """Knows which fields hold ids of what. ``parts`` are lists that are shown only when asked for."""

    def __init__(self, state: State, parts: dict[tuple[str, str], Callable[[str], list[JsonObject]]]) -> None:
        self._references: dict[str, Shelf] = {
            "charge": state.charges,
            "customer": state.customers,
            "default_payment_method": state.methods,
            "invoice": state.invoices,
            "latest_charge": state.charges,
            "payment_intent": state.intents,
            "payment_method": state.methods,
        }
        self._parts = parts

    def one(self, item: JsonObject, expand: Iterable[str] = ()) -> JsonObject:
        shown = copy.deepcopy(item)
        for path in expand:
            self._expand(shown, path.split("."), path)
        return shown

    def page(
        self,
        items: list[JsonObject],
        url: str,
        params: JsonObject,
        fits: Callable[[JsonObject], bool] = lambda item: True,
    ) -> JsonObject:
        """A list object. ``items`` come newest first; the cursors may name any object of the unfiltered list."""
        after, before = params.get("starting_after"), params.get("ending_before")
        limit = params.get("limit", USUAL_LIMIT)
        if after and before:
            raise invalid("Received both ending_before and starting_after parameters. Please pass in only one.")
        if after:
            items = items[_place(items, after, "starting_after") + 1 :]
        if before:
            items = items[: _place(items, before, "ending_before")]
        found = [item for item in items if fits(item) and _within(item, params.get("created", {}))]
        chosen = found[-limit:] if before else found[:limit]
        shown: JsonObject = {
            "object": "list",
            "data": [copy.deepcopy(item) for item in chosen],
            "has_more": len(found) > limit,
            "url": url,
        }
        for path in params.get("expand", []):
            self._expand(shown, path.split("."), path)
        return shown

    def _expand(self, shown: JsonObject, path: list[str], whole: str) -> None:
        if len(path) > DEEPEST_EXPANSION + (path[0] == "data"):
            raise invalid(f"You cannot expand more than {DEEPEST_EXPANSION} levels of a property.", param="expand")
        for target in self._opened(shown, path, whole):
            if len(path) > 1:
                self._expand(target, path[1:], whole)

    def _opened(self, shown: JsonObject, path: list[str], whole: str) -> list[JsonObject]:
        """The objects behind the first step of a path, put in place of their ids."""
        name = path[0]
        part = self._parts.get((shown.get("object", ""), name))
        if part is not None:
            data = [copy.deepcopy(item) for item in part(shown["id"])]
            shown[name] = {"object": "list", "data": data, "has_more": False, "url": f"/v1/{name}"}
            return [shown[name]]
        if name not in shown:
            raise invalid(f"This property cannot be expanded ({whole}).", param="expand")
        value = shown[name]
        if name in self._references:
            shown[name] = copy.deepcopy(self._references[name].get(value)) if isinstance(value, str) else value
        elif isinstance(value, str) or path == [name]:
            raise invalid(f"This property cannot be expanded ({whole}).", param="expand")
        return [item for item in _as_list(shown[name]) if isinstance(item, dict)]


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _place(items: list[JsonObject], ident: str, param: str) -> int:
    for place, item in enumerate(items):
        if item["id"] == ident:
            return place
    raise no_such("object", ident, param)


def _within(item: JsonObject, span: dict[str, int]) -> bool:
    created: int = item.get("created", 0)
    return (
        created > span.get("gt", -1)
        and created >= span.get("gte", 0)
        and created < span.get("lt", created + 1)
        and created <= span.get("lte", created)
    )
