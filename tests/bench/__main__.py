"""Measures what is named, or everything. Exits 1 when a goal is missed or a check is wrong."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench import acknowledging, crossing, endurance, forecasting, looking, metering, settling, starting
from tests.bench.figures import Measured

Measure = Callable[[Path, str], Measured]
MEASUREMENTS: dict[str, Measure] = {
    "acknowledging": acknowledging.measure,
    "settling": settling.measure,
    "starting": starting.measure,
    "metering": metering.measure,
    "crossing": crossing.measure,
    "forecasting": forecasting.measure,
    "looking": looking.measure,
}
LONG: dict[str, Measure] = {"memory": endurance.memory, "growth": endurance.growth}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "measurements",
        nargs="*",
        metavar="|".join([*MEASUREMENTS, *LONG]),
        help=f"{' and '.join(LONG)} take long, and only happen when named",
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="what the bot and the bare programs run on, such as an installation without what only tests need",
    )
    parser.add_argument("--rounds", type=int, default=metering.ROUNDS, help="of metering and growth")
    parser.add_argument(
        "--events", type=int, help="metering: of the quickest in a round; memory: in all; growth: stored"
    )
    parser.add_argument("--only", choices=("PostgreSQL", "SQLite"), help="memory and growth: the one database")
    asked = parser.parse_args()
    if unknown := set(asked.measurements) - {*MEASUREMENTS, *LONG}:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    measurements: dict[str, Measure] = {
        **MEASUREMENTS,
        "metering": partial(metering.measure, rounds=asked.rounds, events=asked.events),
        "memory": partial(endurance.memory, events=asked.events, only=asked.only),
        "growth": partial(endurance.growth, rounds=asked.rounds, events=asked.events, only=asked.only),
    }
    good = True
    for name in asked.measurements or MEASUREMENTS:
        with tempfile.TemporaryDirectory(prefix="credits-bench-") as folder:
            measured = measurements[name](Path(folder), asked.python)
        print(measured, end="\n\n", flush=True)
        good = good and measured.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
