"""Bearer tokens of the programs that may speak to the bot over HTTP."""
