"""Every name that Slack sends back to us. Features meet here: one may show another's button without importing it."""

from typing import Final

BUY_COMMAND: Final = "/buy-credits"
BUY_SHORTCUT: Final = "buy_credits"

BUY_FORM: Final = "buy_form"
BUY_AGAIN_FORM: Final = "buy_again_form"
NOTICE: Final = "notice"

OPEN_BUY_FORM: Final = "open_buy_form"  # a button anywhere; its value may be an amount in cents
QUICK_AMOUNT: Final = "quick_amount"  # several buttons in the form: quick_amount_2500
AMOUNT: Final = "amount"
PAY_WITH: Final = "pay_with"
CANCEL_PURCHASE: Final = "cancel_purchase"
FOLLOW_LINK: Final = "follow_link"  # buttons that open a page: Slack reports the press all the same

OPEN_ASK_FORM: Final = "open_ask_form"  # a button anywhere, made by bot.slack.buttons
ASK_FORM: Final = "ask_form"
ASK_REASON: Final = "ask_reason"
APPROVE_REQUEST: Final = "approve_request"  # its value: the request and the cents that were seen
CHANGE_REQUEST: Final = "change_request"  # the values of these three name the request
DECLINE_REQUEST: Final = "decline_request"
WITHDRAW_REQUEST: Final = "withdraw_request"
CHANGE_REQUEST_FORM: Final = "change_request_form"
APPROVE_AGAIN_FORM: Final = "approve_again_form"

CONTACT_SUPPORT: Final = "contact_support"  # a button anywhere, made by bot.slack.buttons
SUPPORT_SHORTCUT: Final = "support_message"  # in the menu of a message
SUPPORT_FORM: Final = "support_form"
SUPPORT_WORDS: Final = "support_words"
SUPPORT_PURCHASE: Final = "support_purchase"
SUPPORT_ATTACH: Final = "support_attach"
SUPPORT_COPY: Final = "support_copy"
SUPPORT_ADDRESS: Final = "support_address"

ACKNOWLEDGE_ALERT: Final = "acknowledge_alert"  # the values of these three name the episode
SNOOZE_ALERT: Final = "snooze_alert"
WHY_ALERT: Final = "why_alert"

OPEN_ALERTS_FORM: Final = "open_alerts_form"  # a button anywhere
ALERTS_FORM: Final = "alerts_form"
ALERTS_SHARED_FORM: Final = "alerts_shared_form"
ALERT_CHANNELS: Final = "alert_channels"
ALERT_UNIT: Final = "alert_unit"  # a field for each level: alert_unit_low
ALERT_FIGURE: Final = "alert_figure"
ALERT_RECOVERY: Final = "alert_recovery"
ALERT_QUIET_FROM: Final = "alert_quiet_from"
ALERT_QUIET_UNTIL: Final = "alert_quiet_until"
ALERT_ZONE: Final = "alert_zone"
ALERT_LANGUAGE: Final = "alert_language"
ALERT_DIGEST: Final = "alert_digest"
ALERT_SPIKES: Final = "alert_spikes"
TEST_ALERT: Final = "test_alert"

OPEN_HISTORY: Final = "open_history"  # a button anywhere
HISTORY_MONTH: Final = "history_month"
HISTORY_FILE: Final = "history_file"  # its value: the month
CHANGE_CARD: Final = "change_card"  # these two open pages of Stripe's that are made when they are pressed
OPEN_INVOICES: Final = "open_invoices"
SHOW_SPEND: Final = "show_spend"
