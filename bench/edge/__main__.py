"""python -m bench.edge [--only NAME ...] [--no-write]

Starts the platform, runs every probe, prints their figures and writes them into docs/promises.md. Exit status 1 when a figure
misses its bound or a probe fails.
"""

import argparse
import asyncio
import datetime
import importlib
import os
import pkgutil
import platform as machine
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench.edge import document
from bench.edge.model import Figure, Probe
from bench.edge.platform import Platform, running


def probes() -> dict[str, Probe]:
    """`measure` of every module of this folder that has one, by the module's name."""
    found: dict[str, Probe] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name != "__main__":
            measure = getattr(importlib.import_module(f"bench.edge.{module.name}"), "measure", None)
            if measure is not None:
                found[module.name] = measure
    return found


def measured(name: str, probe: Probe, platform: Platform) -> list[Figure]:
    """A probe's figures; a probe that fails is a promise not kept."""
    print(f"{name} …", flush=True)
    try:
        figures = asyncio.run(probe(platform))
    except Exception as error:
        traceback.print_exc()
        figures = [Figure("the probe runs to its end", f"{type(error).__name__}: {error}", "no error", False)]
    for figure in figures:
        mark = "" if figure.met else "   MISSED"
        print(f"  {figure.promise}: {figure.figure} (bound: {figure.bound}){mark}", flush=True)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every figure keeps its bound."""
    known = probes()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=sorted(known), help="run this probe; may be given again")
    parser.add_argument("--no-write", action="store_true", help="leave docs/promises.md as it is")
    options = parser.parse_args(arguments)
    wanted = options.only or sorted(known)
    # A machine with other work measures that work as well: who reads the figures has to know.
    load = os.getloadavg()[0]
    where = f"{os.cpu_count()} cores {machine.machine()}, Python {machine.python_version()}, load {load:.1f} before"
    with running() as platform:
        figures = {name: measured(name, known[name], platform) for name in wanted}
    if not options.no_write:
        command = "make chaos-edge" + (f' EDGE_ARGS="--only {" --only ".join(options.only)}"' if options.only else "")
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        text = document.with_figures(document.PATH.read_text(), figures, command, where, today)
        document.PATH.write_text(text)
    return 0 if all(figure.met for each in figures.values() for figure in each) else 1


if __name__ == "__main__":
    raise SystemExit(main())
