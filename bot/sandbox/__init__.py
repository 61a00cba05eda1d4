"""A Slack workspace and a Stripe on loopback, and the page that shows them: the real bot runs against it unchanged."""
