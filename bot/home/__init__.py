"""App Home: what this person's account has and what they may do. Reads every feature, owned by none."""
