"""Which parameters each request to Stripe takes. Real ones that the sandbox would have to ignore are refused too."""

from collections.abc import Mapping

from bot.sandbox.stripe.params import Address, Email, Field, Flag, Hash, Many, Metadata, Span, Text, Whole

CURRENCY = Text(required=True)
METHOD_TYPES = Many(Text(choices=("card", "us_bank_account")))
REDISPLAY = Text(choices=("always", "limited", "unspecified"))
FUTURE_USE = Text(choices=("off_session", "on_session"))
ADDRESS = Hash({key: Text() for key in ("city", "country", "line1", "line2", "postal_code", "state")})
SWITCH = Text(choices=("disabled", "enabled"))
# fmt: off
LOCALES = (
    "auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419",
    "et", "fi", "fil", "fr", "fr-CA", "hi-IN", "hr", "hu", "id", "it",
    "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt",
    "pt-BR", "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh",
    "zh-HK", "zh-TW",
)
# fmt: on

_EXPAND: Mapping[str, Field] = {"expand": Many(Text(), most=20)}
_PAGE: Mapping[str, Field] = {
    **_EXPAND,
    "limit": Whole(least=1, most=100),
    "starting_after": Text(),
    "ending_before": Text(),
}
_SINCE: Mapping[str, Field] = {**_PAGE, "created": Span()}

RETRIEVE = Hash(_EXPAND)
NOTHING = Hash()

CUSTOMER_FIELDS: Mapping[str, Field] = {
    **_EXPAND,
    "address": ADDRESS,
    "business_name": Text(clearable=True, longest=150),
    "description": Text(clearable=True),
    "email": Email(clearable=True),
    "individual_name": Text(clearable=True, longest=150),
    "metadata": Metadata(),
    "name": Text(clearable=True, longest=256),
    "phone": Text(clearable=True, longest=20),
    "preferred_locales": Many(Text()),
}
CUSTOMER_CREATE = Hash(CUSTOMER_FIELDS)
CUSTOMER_UPDATE = Hash(
    {
        **CUSTOMER_FIELDS,
        "invoice_settings": Hash({"default_payment_method": Text(required=True, clearable=True)}),
    }
)
CUSTOMER_LIST = Hash({**_SINCE, "email": Text()})
CUSTOMER_METHODS = Hash({**_PAGE, "type": Text(choices=("card", "us_bank_account")), "allow_redisplay": REDISPLAY})

_BILLING = Hash(
    {
        "address": ADDRESS,
        "email": Email(clearable=True),
        "name": Text(clearable=True),
        "phone": Text(clearable=True),
    }
)
METHOD_CREATE = Hash(
    {
        **_EXPAND,
        "type": Text(required=True, choices=("card", "us_bank_account")),
        "card": Hash({"number": Text(), "exp_month": Whole(), "exp_year": Whole(), "cvc": Text()}),
        "us_bank_account": Hash(
            {
                "account_holder_type": Text(choices=("company", "individual")),
                "account_number": Text(),
                "routing_number": Text(),
            }
        ),
        "billing_details": _BILLING,
        "allow_redisplay": REDISPLAY,
        "metadata": Metadata(),
    }
)
METHOD_UPDATE = Hash({**_EXPAND, "allow_redisplay": REDISPLAY, "metadata": Metadata()})
METHOD_ATTACH = Hash({**_EXPAND, "customer": Text(required=True)})
METHOD_LIST = Hash({**_PAGE, "customer": Text(), "type": Text(choices=("card", "us_bank_account"))})

INTENT_CREATE = Hash(
    {
        **_EXPAND,
        "allowed_payment_method_types": METHOD_TYPES,
        "amount": Whole(required=True, least=1),
        "automatic_payment_methods": Hash(
            {"enabled": Flag(required=True), "allow_redirects": Text(choices=("always", "never"))}
        ),
        "confirm": Flag(),
        "currency": CURRENCY,
        "customer": Text(),
        "description": Text(longest=1000),
        "error_on_requires_action": Flag(),
        "metadata": Metadata(),
        "off_session": Flag(words=("one_off", "recurring")),
        "payment_method": Text(),
        "receipt_email": Email(),
        "return_url": Address(),
        "setup_future_usage": FUTURE_USE,
        "statement_descriptor_suffix": Text(longest=22),
    }
)
INTENT_UPDATE = Hash(
    {
        **_EXPAND,
        "amount": Whole(least=1),
        "description": Text(longest=1000),
        "metadata": Metadata(),
        "payment_method": Text(),
        "receipt_email": Email(clearable=True),
    }
)
INTENT_CONFIRM = Hash(
    {
        **_EXPAND,
        "error_on_requires_action": Flag(),
        "off_session": Flag(words=("one_off", "recurring")),
        "payment_method": Text(),
        "return_url": Address(),
    }
)
INTENT_CANCEL = Hash(
    {
        **_EXPAND,
        "cancellation_reason": Text(choices=("abandoned", "duplicate", "fraudulent", "requested_by_customer")),
    }
)
INTENT_LIST = Hash({**_SINCE, "customer": Text()})

_LINE_ITEM = Hash(
    {
        "price_data": Hash(
            {
                "currency": CURRENCY,
                "product_data": Hash({"name": Text(required=True), "description": Text()}, required=True),
                "tax_behavior": Text(choices=("exclusive",)),
                "unit_amount": Whole(required=True, least=0),
            },
            required=True,
        ),
        "quantity": Whole(required=True, least=1),
    }
)
_CUSTOM_FIELD = Hash(
    {
        "key": Text(required=True, longest=200),
        "label": Hash(
            {"custom": Text(required=True, longest=100), "type": Text(required=True, choices=("custom",))},
            required=True,
        ),
        "optional": Flag(),
        "text": Hash({"maximum_length": Whole(least=1, most=255)}),
        "type": Text(required=True, choices=("text",)),
    }
)
SESSION_CREATE = Hash(
    {
        **_EXPAND,
        "adaptive_pricing": Hash({"enabled": Flag()}),
        "allowed_payment_method_types": METHOD_TYPES,
        "automatic_tax": Hash({"enabled": Flag(required=True)}),
        "billing_address_collection": Text(choices=("auto", "required")),
        "cancel_url": Address(),
        "client_reference_id": Text(longest=200),
        "custom_fields": Many(_CUSTOM_FIELD, most=3),
        "custom_text": Hash({"submit": Hash({"message": Text(required=True, longest=1200)})}),
        "customer": Text(),
        "customer_email": Email(),
        "customer_update": Hash({key: Text(choices=("auto", "never")) for key in ("address", "name")}),
        "expires_at": Whole(),
        "invoice_creation": Hash(
            {
                "enabled": Flag(required=True),
                "invoice_data": Hash({"description": Text(), "metadata": Metadata()}),
            }
        ),
        "line_items": Many(_LINE_ITEM, required=True),
        "locale": Text(choices=LOCALES),
        "metadata": Metadata(),
        "mode": Text(required=True, choices=("payment",)),
        "payment_intent_data": Hash(
            {
                "description": Text(longest=1000),
                "metadata": Metadata(),
                "receipt_email": Email(),
                "setup_future_usage": FUTURE_USE,
                "statement_descriptor_suffix": Text(longest=22),
            }
        ),
        "saved_payment_method_options": Hash(
            {"payment_method_save": SWITCH, "allow_redisplay_filters": Many(REDISPLAY)}
        ),
        "submit_type": Text(choices=("auto", "book", "donate", "pay")),
        "success_url": Address(required=True),
        "tax_id_collection": Hash({"enabled": Flag(required=True)}),
        "ui_mode": Text(choices=("hosted_page",)),
    }
)
SESSION_LIST = Hash(
    {
        **_SINCE,
        "customer": Text(),
        "payment_intent": Text(),
        "status": Text(choices=("complete", "expired", "open")),
    }
)
SESSION_LINE_ITEMS = Hash(_PAGE)

REFUND_CREATE = Hash(
    {
        **_EXPAND,
        "amount": Whole(least=1),
        "charge": Text(),
        "metadata": Metadata(),
        "payment_intent": Text(),
        "reason": Text(choices=("duplicate", "fraudulent", "requested_by_customer")),
    }
)
REFUND_LIST = Hash({**_SINCE, "charge": Text(), "payment_intent": Text()})
DISPUTE_LIST = REFUND_LIST
CHARGE_LIST = Hash({**_SINCE, "customer": Text(), "payment_intent": Text()})
EVENT_LIST = Hash({**_SINCE, "type": Text(), "types": Many(Text(), most=20)})
TAX_ID_LIST = Hash(_PAGE)
PORTAL_CREATE = Hash(
    {
        **_EXPAND,
        "customer": Text(required=True),
        "flow_data": Hash({"type": Text(required=True, choices=("payment_method_update",))}),
        "locale": Text(choices=LOCALES),
        "return_url": Address(),
    }
)
PORTAL_CONFIGURATION_LIST = Hash({**_PAGE, "active": Flag(), "is_default": Flag()})
