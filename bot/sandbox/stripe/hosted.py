"""The pages that a buyer sees: checkout, the bank's question, receipt, invoice, portal. They take test cards only."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.sandbox.stripe.billing import COUNTRIES, EUROPE, PERCENT, SOMEBODY, Buyer
from bot.sandbox.stripe.cards import BY_NAME, BY_NUMBER, TestCard
from bot.sandbox.stripe.checkout import PLACEHOLDER, Checkout
from bot.sandbox.stripe.customers import Customers
from bot.sandbox.stripe.errors import JsonObject
from bot.sandbox.stripe.intents import Intents
from bot.sandbox.stripe.portal import Portal
from bot.sandbox.stripe.state import State

ON_THE_PAGE = (
    "visa",
    "authentication_required",
    "declined",
    "insufficient_funds",
    "expired",
    "authentication_then_declined",
    "mastercard",
    "bank_debit",
)
IN_THE_PORTAL = ("visa", "mastercard", "authentication_required", "declined_later")
NOT_A_TEST_CARD = "This is not one of the test cards. The sandbox never takes a real card."
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'self'"
)
SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£", "dkk": "kr. "}
BUTTONS = {"book": "Book", "donate": "Donate"}


def pages(
    name: str, state: State, customers: Customers, intents: Intents, checkout: Checkout, portal: Portal
) -> list[BaseRoute]:
    """The routes below ``/pay``."""
    site = _Pages(name, state, customers, intents, checkout, portal)
    return [
        Route("/challenges/{intent}", site.challenge, methods=["GET"]),
        Route("/challenges/{intent}", site.answer_challenge, methods=["POST"]),
        Route("/receipts/{charge}", site.receipt),
        Route("/invoices/{invoice}", site.invoice),
        Route("/portal/{portal}", site.portal, methods=["GET"]),
        Route("/portal/{portal}", site.change_cards, methods=["POST"]),
        Route("/{session}", site.checkout, methods=["GET"]),
        Route("/{session}", site.pay, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Try:
    """What stood on the page when somebody tried to pay, but for the card, and what was wrong."""

    buyer: Buyer
    save: bool = False
    problem: str = ""


class _Pages:
    def __init__(
        self, name: str, state: State, customers: Customers, intents: Intents, checkout: Checkout, portal: Portal
    ) -> None:
        self._name = name
        self._state = state
        self._customers = customers
        self._intents = intents
        self._checkout = checkout
        self._portals = portal
        self._tries: dict[str, _Try] = {}  # the last on each page, by session
        self._templates = Environment(
            loader=PackageLoader("bot.sandbox.stripe"), autoescape=True, undefined=StrictUndefined
        )
        self._templates.filters["money"] = money
        self._templates.filters["symbol"] = SYMBOLS.__getitem__

    async def checkout(self, request: Request) -> Response:
        session = self._session(request)
        return self._missing() if session is None else self._show(session)

    async def pay(self, request: Request) -> Response:
        session, form = self._session(request), await _fields(request)
        if session is None:
            return self._missing()
        method, tried = self._chosen(session, form), _Try(_buyer(session, form), "save" in form)
        self._tries[session["id"]] = tried
        if method is None:
            return self._after(session, NOT_A_TEST_CARD)
        payment = self._checkout.pay(session["id"], method, save=tried.save, buyer=tried.buyer)
        return self._after(session, payment.message, payment.redirect)

    async def challenge(self, request: Request) -> Response:
        self._checkout.expire_due()
        ident = request.path_params["intent"]
        intent = self._state.intents.get(ident) if ident in self._state.intents else None
        if intent is None or intent["status"] != "requires_action":
            return self._over(ident)
        method = self._state.methods.get(intent["payment_method"])
        return self._page("challenge.html", intent=intent, card=self._customers.card_of(method))

    async def answer_challenge(self, request: Request) -> Response:
        self._checkout.expire_due()
        ident, form = request.path_params["intent"], await _fields(request)
        intent = self._state.intents.get(ident) if ident in self._state.intents else None
        if intent is None or intent["status"] != "requires_action":
            return self._over(ident)
        back_to = intent["next_action"]["redirect_to_url"]["return_url"]
        self._intents.authenticate(ident, ok=form.get("answer") == "complete")
        if session := self._checkout.session_of(ident):
            payment = self._checkout.came_of(session)
            return self._after(session, payment.message, payment.redirect)
        if not back_to:
            return self._page("closed.html", title="Thank you", text="You can close this page.", back="")
        return RedirectResponse(_with_query(back_to, intent), 303)

    def _over(self, intent: str) -> Response:
        """The bank asks once. Who comes late, or pressed twice, finds the page that it was about, if any."""
        session = self._checkout.session_of(intent)
        return self._missing() if session is None else RedirectResponse(f"/pay/{session['id']}", 303)

    async def receipt(self, request: Request) -> Response:
        ident = request.path_params["charge"]
        if ident not in self._state.charges:
            return self._missing()
        charge = self._state.charges.get(ident)
        return self._page("receipt.html", charge=charge, date=_day(charge["created"]), paid_with=_paid_with(charge))

    async def invoice(self, request: Request) -> Response:
        ident = request.path_params["invoice"]
        if ident not in self._state.invoices:
            return self._missing()
        invoice = self._state.invoices.get(ident)
        return self._page("invoice.html", invoice=invoice, date=_day(invoice["created"]))

    async def portal(self, request: Request) -> Response:
        portal = self._portals.visit(request.path_params["portal"])
        if portal is None:
            return self._missing()
        customer = self._state.customers.get(portal["customer"])
        return self._page(
            "portal.html",
            portal=portal,
            customer=customer,
            default=customer["invoice_settings"]["default_payment_method"],
            methods=self._customers.methods_of(customer["id"]),
            cards=_offered(IN_THE_PORTAL, ["card"]),
            invoices=[(each, _day(each["created"])) for each in self._checkout.invoices.of_customer(customer["id"])],
        )

    async def change_cards(self, request: Request) -> Response:
        portal, form = self._portals.visit(request.path_params["portal"]), await _fields(request)
        if portal is None:
            return self._missing()
        saved = {method["id"] for method in self._customers.methods_of(portal["customer"])}
        if form.get("remove") in saved:
            self._customers.detach(form["remove"])
        elif (add := form.get("add")) in IN_THE_PORTAL:
            self._portals.add_card(portal, self._customers.new_method(BY_NAME[add]))
        return RedirectResponse(request.url.path, 303)

    def _session(self, request: Request) -> JsonObject | None:
        self._checkout.expire_due()
        ident = request.path_params["session"]
        return self._state.sessions.get(ident) if ident in self._state.sessions else None

    def _chosen(self, session: JsonObject, form: dict[str, str]) -> TestCard | JsonObject | None:
        """The saved method or the test card of the form. A number is compared and never kept."""
        if saved := form.get("saved"):
            return next((m for m in self._checkout.saved_methods(session) if m["id"] == saved), None)
        return BY_NUMBER.get("".join(form.get("number", "").split()))

    def _after(self, session: JsonObject, problem: str, redirect: str | None = None) -> Response:
        """Send the buyer on, else back to the page: one that can be loaded again, and gone back to."""
        self._tries[session["id"]] = replace(self._tried(session), problem=problem)
        return RedirectResponse(redirect or f"/pay/{session['id']}", 303)

    def _tried(self, session: JsonObject) -> _Try:
        return self._tries.get(session["id"]) or _Try(_known(session))

    def _show(self, session: JsonObject) -> Response:
        if session["status"] == "expired":
            return self._page(
                "closed.html",
                title="This page has expired",
                text="Nothing was charged. Go back and start again when you like.",
                back=session["cancel_url"] or "",
            )
        if session["status"] == "complete":
            return self._page(
                "closed.html",
                title="All done here",
                text="This payment was already made; nobody can pay it twice.",
                back=session["success_url"].replace(PLACEHOLDER, session["id"]),
            )
        tried = self._tried(session)
        return self._page(
            "checkout.html",
            session=session,
            items=self._checkout.line_items[session["id"]],
            saved=self._checkout.saved_methods(session),
            offers_to_save=self._checkout.offers_to_save(session),
            cards=_offered(ON_THE_PAGE, session["payment_method_types"]),
            button=BUTTONS.get(session["submit_type"] or "", "Pay"),
            problem=tried.problem,
            save=tried.save,
            buyer=tried.buyer,
            countries=COUNTRIES,
            percent=PERCENT if session["automatic_tax"]["enabled"] else {},
            europe=EUROPE,
        )

    def _missing(self) -> Response:
        return self._page(
            "closed.html",
            status=404,
            title="Nothing is here",
            text="This link is not known, or it was used already.",
            back="",
        )

    def _page(self, template: str, *, status: int = 200, **facts: object) -> Response:
        html = self._templates.get_template(template).render(merchant=self._name, clock=self._state.clock, **facts)
        return HTMLResponse(html, status, {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})


def money(cents: int, currency: str) -> str:
    """An amount as the page shows it: ``$1,234.50``."""
    return f"{SYMBOLS[currency]}{cents // 100:,}.{cents % 100:02}"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %B %Y, %H:%M UTC")


def _known(session: JsonObject) -> Buyer:
    """What a customer need not type again. A new one finds an address to play with."""
    details = session["customer_details"] or {}
    if not (address := details.get("address")):
        return SOMEBODY
    line1, postal_code, city, country = (address[key] or "" for key in ("line1", "postal_code", "city", "country"))
    return Buyer(details["name"] or "", line1, postal_code, city, country)


def _buyer(session: JsonObject, form: dict[str, str]) -> Buyer:
    """What was typed; where the page asks for nothing, nobody in particular."""
    if session["billing_address_collection"] != "required":
        return replace(SOMEBODY, fields=_own_fields(session, form))
    keys = ("name", "line1", "postal_code", "city", "country", "tax_id")
    name, line1, postal_code, city, country, tax_id = (form.get(key, "").strip() for key in keys)
    return Buyer(name, line1, postal_code, city, country, tax_id, _own_fields(session, form))


def _own_fields(session: JsonObject, form: dict[str, str]) -> dict[str, str]:
    return {each["key"]: form.get(f"field-{each['key']}", "").strip() for each in session["custom_fields"]}


def _offered(names: tuple[str, ...], types: list[str]) -> list[TestCard]:
    return [BY_NAME[name] for name in names if BY_NAME[name].type in types]


def _paid_with(charge: JsonObject) -> str:
    details = charge["payment_method_details"]
    if details["type"] == "card":
        return f"{details['card']['brand'].capitalize()} •••• {details['card']['last4']}"
    return f"Bank account •••• {details['us_bank_account']['last4']}"


async def _fields(request: Request) -> dict[str, str]:
    body = (await request.body()).decode(errors="replace")
    return {name: values[-1] for name, values in parse_qs(body, keep_blank_values=True).items()}


def _with_query(url: str, intent: JsonObject) -> str:
    """The address a buyer comes back to, with the intent that it is about, as Stripe adds it."""
    parts = urlsplit(url)
    query = [
        *parse_qsl(parts.query),
        ("payment_intent", intent["id"]),
        ("payment_intent_client_secret", intent["client_secret"]),
    ]
    return urlunsplit(parts._replace(query=urlencode(query)))
