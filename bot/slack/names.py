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

ACKNOWLEDGE_ALERT: Final = "acknowledge_alert"  # the values of these three name the episode
SNOOZE_ALERT: Final = "snooze_alert"
WHY_ALERT: Final = "why_alert"

OPEN_ALERTS_FORM: Final = "open_alerts_form"  # a button anywhere
ALERTS_FORM: Final = "alerts_form"
ALERTS_SHARED_FORM: Final = "alerts_shared_form"
ALERT_CHANNELS: Final = "alert_channels"
ALERT_UNIT: Final = "alert_unit"  # a field for each level: alert_unit_low
ALERT_FIGURE: Final = "alert_figure"
ALERT_QUIET_FROM: Final = "alert_quiet_from"
ALERT_QUIET_UNTIL: Final = "alert_quiet_until"
ALERT_LANGUAGE: Final = "alert_language"
ALERT_DIGEST: Final = "alert_digest"
TEST_ALERT: Final = "test_alert"
