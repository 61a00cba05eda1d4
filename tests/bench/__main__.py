"""Measures what is named, or everything. Exits 1 when a goal is missed or a check is wrong."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench import acknowledging, settling, starting

MEASUREMENTS = {"acknowledging": acknowledging.measure, "settling": settling.measure, "starting": starting.measure}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("measurements", nargs="*", metavar="|".join(MEASUREMENTS))
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="what the bot and the bare programs run on, such as an installation without what only tests need",
    )
    asked = parser.parse_args()
    if unknown := set(asked.measurements) - set(MEASUREMENTS):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    good = True
    for name in asked.measurements or MEASUREMENTS:
        with tempfile.TemporaryDirectory(prefix="credits-bench-") as folder:
            measured = MEASUREMENTS[name](Path(folder), asked.python)
        print(measured, end="\n\n", flush=True)
        good = good and measured.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
