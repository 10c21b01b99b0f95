"""`python -m tests.e2e [--steps 1,2,…]`: the numbered steps in order; a failed one ends the run."""

import argparse
import importlib
import json
import pkgutil
import sys
import time
from typing import Any

from tests.e2e import promises, settings, steps
from tests.e2e.world import StepFailed, World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--steps", default="", help="comma-separated numbers; default all")
    parser.add_argument("--keep-going", action="store_true", help="go on after a failed step")
    arguments = parser.parse_args()
    wanted = {int(number) for number in arguments.steps.split(",") if number}
    world = World(settings.read())
    earlier = read(world) if wanted else {}
    failed = False
    for name in sorted(each.name for each in pkgutil.iter_modules(steps.__path__)):
        number = int(name[4:6])
        if wanted and number not in wanted:
            continue
        result = one(world, number, name)
        earlier[str(number)] = result
        write(world, earlier)
        if result["result"] == "failed":
            failed = True
            if not arguments.keep_going:
                break
    promises.write(world, earlier)
    return int(failed)


def one(world: World, number: int, name: str) -> dict[str, Any]:
    """Run a step and tell what came out."""
    module = importlib.import_module(f"tests.e2e.steps.{name}")
    sys.stdout.write(f"\n{number}. {module.TITLE}: {module.PROVES}\n")
    sys.stdout.flush()
    began = time.monotonic()
    result: dict[str, Any] = {"title": module.TITLE, "proves": module.PROVES, "result": "passed", "figures": {}}
    try:
        result["figures"] = module.run(world)
    except StepFailed as error:
        result |= {"result": "failed", "error": str(error)}
    result["seconds"] = round(time.monotonic() - began, 1)
    told = {key: result.get(key) for key in ("result", "seconds", "figures", "error") if result.get(key)}
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    sys.stdout.flush()
    return result


def read(world: World) -> dict[str, Any]:
    """Results of an earlier run, to add some steps to."""
    try:
        return dict(json.loads(world.settings.results.read_text()))
    except OSError:
        return {}


def write(world: World, results: dict[str, Any]) -> None:
    world.settings.results.parent.mkdir(parents=True, exist_ok=True)
    world.settings.results.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
