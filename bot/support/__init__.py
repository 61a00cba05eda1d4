"""The case that reaches a person: opened from any failure, sent as mail, and followed until it has arrived."""
