"""Stripe's HTTP API: keys, routes, parameters, idempotency and faults. What the requests do is decided elsewhere."""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from bot.sandbox.faults import Fault, Faults, Kind, drop
from bot.sandbox.stripe import specs
from bot.sandbox.stripe.checkout import Checkout
from bot.sandbox.stripe.customers import Customers, by_fields
from bot.sandbox.stripe.errors import JsonObject, StripeRefusal, invalid, malformed, no_such
from bot.sandbox.stripe.idempotency import Answer, IdempotencyKeys
from bot.sandbox.stripe.intents import Intents
from bot.sandbox.stripe.params import Hash, decode
from bot.sandbox.stripe.portal import Portal
from bot.sandbox.stripe.rendering import Rendering
from bot.sandbox.stripe.reversals import Reversals
from bot.sandbox.stripe.state import API_VERSION, Cause, State
from bot.sandbox.stripe.webhooks import thin, thin_id

OUT_OF_ORDER = {"error": {"type": "api_error", "message": "An error occurred with our connection to Stripe."}}
TOO_MANY = {
    "error": {
        "type": "invalid_request_error",
        "code": "rate_limit",
        "message": "Request rate limit exceeded. You can learn more about rate limits at https://stripe.com/rate-limits.",
    }
}
BODIES: Mapping[Kind, object] = {Kind.STATUS: OUT_OF_ORDER, Kind.RATE_LIMITED: TOO_MANY}
_KEY = re.compile(r"(?:sk|rk)_test_\w+")

Run = Callable[[str, JsonObject], JsonObject]


@dataclass(frozen=True, slots=True)
class Call:
    """One request as the API saw it."""

    method: str
    path: str
    params: JsonObject
    key: str
    status: int
    replayed: bool


@dataclass(frozen=True)
class Route:
    """One address of the API. ``run`` gets the id in the address (or nothing) and the parameters."""

    method: str
    path: str
    spec: Hash
    run: Run

    def match(self, method: str, path: str) -> str | None:
        """The id in the address, ``""`` where there is none, ``None`` when the address is another."""
        found = re.fullmatch(self.path.replace("{id}", r"(?P<id>\w+)"), path) if method == self.method else None
        return found and found.groupdict().get("id", "")


class Api:
    """An ASGI app for ``/v1/…`` (and thin events under ``/v2/core/events``)."""

    def __init__(
        self,
        state: State,
        customers: Customers,
        intents: Intents,
        checkout: Checkout,
        reversals: Reversals,
        portal: Portal,
        faults: Faults,
        name: str,
    ) -> None:
        self.calls: list[Call] = []
        self.revoked_keys: set[str] = set()
        self.denied: list[str] = []  # globs of calls that restricted keys may not make
        self._state = state
        self._checkout = checkout
        self._faults = faults
        self._name = name
        self._keys = IdempotencyKeys(state.clock)
        self._rendering = Rendering(
            state,
            {
                ("charge", "refunds"): reversals.refunds_of,
                ("checkout.session", "line_items"): checkout.line_items.__getitem__,
            },
        )
        self.routes = self._routes(customers, intents, reversals, portal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        fault = self._faults.take(f"{request.method} {request.url.path}")
        if fault and fault.kind is Kind.CUT_BEFORE:
            await drop(receive)
            return
        if fault and not fault.stored and (instead := fault.answer(BODIES)):
            await instead(scope, receive, send)
            return
        answer = await self._answer(request, fault)
        if fault and fault.kind is Kind.CUT_AFTER:
            await drop(receive)
            return
        headers = {"Request-Id": answer.request_id, "Stripe-Version": API_VERSION} | answer.headers
        await JSONResponse(answer.body, answer.status, headers)(scope, receive, send)

    async def _answer(self, request: Request, fault: Fault | None) -> Answer:
        request_id = self._state.new_id("req", 14)
        key = request.headers.get("idempotency-key", "") if request.method == "POST" else ""
        raw: JsonObject = {}
        try:
            self._authorize(request)
            raw = decode(await _form(request))
            answer = await self._once(request, raw, request_id, key, fault)
        except StripeRefusal as refusal:
            answer = _refused(refusal, request_id)
        answer = replace(answer, headers=answer.headers | ({"Idempotency-Key": key} if key else {}))
        replayed = "Idempotent-Replayed" in answer.headers
        self.calls.append(Call(request.method, request.url.path, raw, key, answer.status, replayed))
        return answer

    def _authorize(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if not key:
            raise StripeRefusal(
                401,
                "invalid_request_error",
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                executed=False,
            )
        shown = f"{key[:8]}{'*' * 12}{key[-4:]}"
        if scheme.lower() != "bearer" or not _KEY.fullmatch(key) or key in self.revoked_keys:
            raise StripeRefusal(401, "invalid_request_error", f"Invalid API Key provided: {shown}", executed=False)
        call = f"{request.method} {request.url.path}"
        if key.startswith("rk_") and any(fnmatchcase(call, pattern) for pattern in self.denied):
            raise StripeRefusal(
                403,
                "invalid_request_error",
                f"The provided key '{shown}' does not have the required permissions for this endpoint.",
                executed=False,
            )

    async def _once(self, request: Request, raw: JsonObject, request_id: str, key: str, fault: Fault | None) -> Answer:
        """Do the work, or repeat the answer that its idempotency key already has."""
        route, ident = self._find(request)
        if not key:
            return await self._work(route, ident, raw, Cause(request_id), fault)
        if earlier := self._keys.claim(key, request.url.path, raw):
            headers = {"Idempotent-Replayed": "true", "Original-Request": earlier.request_id} | earlier.headers
            return replace(earlier, request_id=request_id, headers=headers)
        answer: Answer | None = None
        try:
            answer = await self._work(route, ident, raw, Cause(request_id, key), fault)
        except StripeRefusal as refusal:
            if not refusal.executed:
                raise
            answer = _refused(refusal, request_id)
        finally:
            if answer is None:
                self._keys.let_go(key)
        self._keys.keep(key, answer)
        return answer

    async def _work(self, route: Route, ident: str, raw: JsonObject, cause: Cause, fault: Fault | None) -> Answer:
        params = route.spec.read(raw, "")
        request_id = cause.request_id or ""
        if fault and fault.stored:
            body = fault.body if isinstance(fault.body, dict) else OUT_OF_ORDER
            return Answer(fault.code, body, request_id, {"Stripe-Should-Retry": "false"})
        if fault and fault.kind is Kind.HANG:
            await self._faults.sleep(fault.seconds)
        self._checkout.expire_due()
        self._state.cause = cause
        try:
            done = route.run(ident, params)
        finally:
            self._state.cause = Cause()
        return Answer(200, done, request_id)

    def _find(self, request: Request) -> tuple[Route, str]:
        for route in self.routes:
            ident = route.match(request.method, request.url.path)
            if ident is not None:
                return route, ident
        raise StripeRefusal(
            404,
            "invalid_request_error",
            f"Unrecognized request URL ({request.method}: {request.url.path}). The sandbox has only what the bot uses.",
            executed=False,
        )

    def _routes(self, customers: Customers, intents: Intents, reversals: Reversals, portal: Portal) -> list[Route]:
        state, checkout = self._state, self._checkout
        return [
            self._one("POST", "/v1/customers", specs.CUSTOMER_CREATE, lambda _, p: customers.create(p)),
            self._one("GET", "/v1/customers/{id}", specs.RETRIEVE, lambda i, _: customers.retrieve(i)),
            self._one("POST", "/v1/customers/{id}", specs.CUSTOMER_UPDATE, customers.update),
            self._one("DELETE", "/v1/customers/{id}", specs.NOTHING, lambda i, _: customers.delete(i)),
            Route("GET", "/v1/customers", specs.CUSTOMER_LIST, self._customers),
            Route("GET", "/v1/customers/{id}/payment_methods", specs.CUSTOMER_METHODS, self._saved(customers)),
            Route("GET", "/v1/customers/{id}/tax_ids", specs.TAX_ID_LIST, self._tax_ids(customers)),
            self._one("POST", "/v1/payment_methods", specs.METHOD_CREATE, lambda _, p: customers.create_method(p)),
            self._one("GET", "/v1/payment_methods/{id}", specs.RETRIEVE, lambda i, _: state.methods.get(i)),
            self._one("POST", "/v1/payment_methods/{id}", specs.METHOD_UPDATE, customers.update_method),
            self._one(
                "POST",
                "/v1/payment_methods/{id}/attach",
                specs.METHOD_ATTACH,
                lambda i, p: customers.attach(i, p["customer"]),
            ),
            self._one("POST", "/v1/payment_methods/{id}/detach", specs.RETRIEVE, lambda i, _: customers.detach(i)),
            Route("GET", "/v1/payment_methods", specs.METHOD_LIST, self._methods(customers)),
            self._one("POST", "/v1/payment_intents", specs.INTENT_CREATE, lambda _, p: intents.create(p)),
            self._one("GET", "/v1/payment_intents/{id}", specs.RETRIEVE, lambda i, _: state.intents.get(i)),
            self._one("POST", "/v1/payment_intents/{id}", specs.INTENT_UPDATE, intents.update),
            self._one("POST", "/v1/payment_intents/{id}/confirm", specs.INTENT_CONFIRM, intents.confirm),
            self._one("POST", "/v1/payment_intents/{id}/cancel", specs.INTENT_CANCEL, intents.cancel),
            Route("GET", "/v1/payment_intents", specs.INTENT_LIST, self._intents),
            self._one("POST", "/v1/checkout/sessions", specs.SESSION_CREATE, lambda _, p: checkout.create(p)),
            self._one("GET", "/v1/checkout/sessions/{id}", specs.RETRIEVE, lambda i, _: state.sessions.get(i)),
            self._one("POST", "/v1/checkout/sessions/{id}/expire", specs.RETRIEVE, lambda i, _: checkout.expire(i)),
            Route("GET", "/v1/checkout/sessions/{id}/line_items", specs.SESSION_LINE_ITEMS, self._line_items),
            Route("GET", "/v1/checkout/sessions", specs.SESSION_LIST, self._sessions),
            self._one("GET", "/v1/charges/{id}", specs.RETRIEVE, lambda i, _: state.charges.get(i)),
            Route("GET", "/v1/charges", specs.CHARGE_LIST, self._charges),
            self._one("POST", "/v1/refunds", specs.REFUND_CREATE, lambda _, p: reversals.create_refund(p)),
            self._one("GET", "/v1/refunds/{id}", specs.RETRIEVE, lambda i, _: state.refunds.get(i)),
            Route("GET", "/v1/refunds", specs.REFUND_LIST, self._refunds),
            self._one("GET", "/v1/disputes/{id}", specs.RETRIEVE, lambda i, _: state.disputes.get(i)),
            Route("GET", "/v1/disputes", specs.DISPUTE_LIST, self._disputes),
            self._one("GET", "/v1/invoices/{id}", specs.RETRIEVE, lambda i, _: state.invoices.get(i)),
            self._one("GET", "/v1/events/{id}", specs.RETRIEVE, lambda i, _: self._event(i)),
            Route("GET", "/v1/events", specs.EVENT_LIST, self._events),
            Route("GET", "/v2/core/events/{id}", specs.NOTHING, self._thin_event),
            Route("GET", "/v1/balance", specs.RETRIEVE, self._balance),
            Route("GET", "/v1/account", specs.RETRIEVE, self._account),
            self._one("POST", "/v1/billing_portal/sessions", specs.PORTAL_CREATE, lambda _, p: portal.create(p)),
            Route(
                "GET",
                "/v1/billing_portal/configurations",
                specs.PORTAL_CONFIGURATION_LIST,
                self._configurations(portal),
            ),
        ]

    def _one(self, method: str, path: str, spec: Hash, run: Run) -> Route:
        """A route that answers with one object, expanded as asked."""

        def shown(ident: str, params: JsonObject) -> JsonObject:
            expand = params.pop("expand", [])
            return self._rendering.one(run(ident, params), expand)

        return Route(method, path, spec, shown)

    def _customers(self, _: str, params: JsonObject) -> JsonObject:
        living = [item for item in self._state.customers.newest_first() if not item.get("deleted")]
        return self._rendering.page(living, "/v1/customers", params, by_fields(email=params.get("email")))

    def _saved(self, customers: Customers) -> Run:
        def listed(ident: str, params: JsonObject) -> JsonObject:
            customers.living(ident, "id")
            fits = by_fields(type=params.get("type"), allow_redisplay=params.get("allow_redisplay"))
            url = f"/v1/customers/{ident}/payment_methods"
            return self._rendering.page(customers.methods_of(ident), url, params, fits)

        return listed

    def _methods(self, customers: Customers) -> Run:
        def listed(_: str, params: JsonObject) -> JsonObject:
            owner = params.get("customer")
            found = customers.methods_of(customers.living(owner, "customer")["id"]) if owner else []
            return self._rendering.page(found, "/v1/payment_methods", params, by_fields(type=params.get("type")))

        return listed

    def _intents(self, _: str, params: JsonObject) -> JsonObject:
        fits = by_fields(customer=params.get("customer"))
        return self._rendering.page(self._state.intents.newest_first(), "/v1/payment_intents", params, fits)

    def _sessions(self, _: str, params: JsonObject) -> JsonObject:
        fits = by_fields(**{key: params.get(key) for key in ("customer", "payment_intent", "status")})
        return self._rendering.page(self._state.sessions.newest_first(), "/v1/checkout/sessions", params, fits)

    def _line_items(self, ident: str, params: JsonObject) -> JsonObject:
        session = self._state.sessions.get(ident)
        url = f"/v1/checkout/sessions/{ident}/line_items"
        return self._rendering.page(self._checkout.line_items[session["id"]], url, params)

    def _charges(self, _: str, params: JsonObject) -> JsonObject:
        fits = by_fields(customer=params.get("customer"), payment_intent=params.get("payment_intent"))
        return self._rendering.page(self._state.charges.newest_first(), "/v1/charges", params, fits)

    def _refunds(self, _: str, params: JsonObject) -> JsonObject:
        fits = by_fields(charge=params.get("charge"), payment_intent=params.get("payment_intent"))
        return self._rendering.page(self._state.refunds.newest_first(), "/v1/refunds", params, fits)

    def _disputes(self, _: str, params: JsonObject) -> JsonObject:
        fits = by_fields(charge=params.get("charge"), payment_intent=params.get("payment_intent"))
        return self._rendering.page(self._state.disputes.newest_first(), "/v1/disputes", params, fits)

    def _events(self, _: str, params: JsonObject) -> JsonObject:
        kinds = params.get("types", [])
        if "type" in params and kinds:
            raise invalid("You may pass either `type` or `types`, but not both.", param="type")
        patterns = kinds or [params.get("type", "*")]
        return self._rendering.page(
            self._state.recent_events(),
            "/v1/events",
            params,
            lambda event: any(fnmatchcase(event["type"], pattern) for pattern in patterns),
        )

    def _event(self, ident: str) -> JsonObject:
        for event in self._state.recent_events():
            if event["id"] == ident:
                return event
        raise no_such("event", ident, "id")

    def _thin_event(self, ident: str, _: JsonObject) -> JsonObject:
        for event in self._state.recent_events():
            if thin_id(event["id"]) == ident:
                return thin(event)
        raise no_such("event", ident, "id")

    def _balance(self, _: str, __: JsonObject) -> JsonObject:
        paid = sum(c["amount"] - c["amount_refunded"] for c in self._state.charges if c["status"] == "succeeded")
        taken = sum(d["amount"] for d in self._state.disputes if d["status"] != "won")
        amount = {"amount": paid - taken, "currency": "usd", "source_types": {"card": paid - taken}}
        nothing = {"amount": 0, "currency": "usd", "source_types": {"card": 0}}
        return {"object": "balance", "available": [amount], "livemode": False, "pending": [nothing]}

    def _account(self, _: str, __: JsonObject) -> JsonObject:
        return {
            "id": "acct_sandbox",
            "object": "account",
            "business_profile": {"name": self._name, "support_email": None, "url": None},
            "business_type": "company",
            "capabilities": {"card_payments": "active", "transfers": "active"},
            "charges_enabled": True,
            "country": "US",
            "default_currency": "usd",
            "details_submitted": True,
            "email": None,
            "metadata": {},
            "payouts_enabled": True,
            "settings": {"dashboard": {"display_name": self._name, "timezone": "Etc/UTC"}},
            "type": "standard",
        }

    def _tax_ids(self, customers: Customers) -> Run:
        def listed(ident: str, params: JsonObject) -> JsonObject:
            customers.living(ident, "id")
            return self._rendering.page(customers.tax_ids_of(ident), f"/v1/customers/{ident}/tax_ids", params)

        return listed

    def _configurations(self, portal: Portal) -> Run:
        def listed(_: str, params: JsonObject) -> JsonObject:
            fits = by_fields(active=params.get("active"), is_default=params.get("is_default"))
            url = "/v1/billing_portal/configurations"
            return self._rendering.page(portal.configurations(), url, params, fits)

        return listed


async def _form(request: Request) -> str:
    """The parameters of a request, still encoded."""
    if request.method == "GET":
        return request.url.query
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0]
    if body and kind != "application/x-www-form-urlencoded":
        raise malformed(f"Invalid request: the API takes form fields, not {kind or 'a body without a type'}.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise malformed("Invalid request: the parameters are not UTF-8.") from error


def _refused(refusal: StripeRefusal, request_id: str) -> Answer:
    return Answer(refusal.status, {"error": copy.deepcopy(refusal.error)}, request_id)
