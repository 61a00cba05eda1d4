"""Who buys: the account, its plan, its owners, the Slack workspace and channel it belongs to."""
