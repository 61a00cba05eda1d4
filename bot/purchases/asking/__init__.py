"""Asking the owner: whoever may not buy asks, an owner decides, and above the account's limit two of them do."""
