"""Taking money: the gateway as the rest of the bot sees it, and its Stripe adapter, the only code that knows Stripe."""
