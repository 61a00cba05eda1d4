"""How fast the bot is beside the barest thing that does the same: ``python -m tests.bench``. These are not tests.

Only ratios within one run mean anything: whatever slows the machine slows both sides. Beside every figure stands a
check that what was measured was really done.
"""
