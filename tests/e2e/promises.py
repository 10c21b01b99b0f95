"""docs/promises.md, from the results of a run."""

import json
from typing import Any

from bench.edge.document import part_of
from tests.e2e.settings import ROOT
from tests.e2e.world import World

PATH = ROOT / "docs/promises.md"
HEAD = """# Promises, and the run that proves them

Written by `make e2e`: the chart of this checkout on a real Kubernetes ({version}, {nodes} nodes that share {cores} cores),
through a Gateway API route, all in a namespace that enforces Pod Security `restricted`. Times depend on the machine; failures
must not.

| step | what it proves | result | seconds |
|---|---|---|---|
"""


def write(world: World, results: dict[str, Any]) -> None:
    """Write the document anew; steps that never ran are left out, and what `make chaos-edge` wrote stays."""
    nodes = json.loads(world.command("kubectl", "get", "nodes", "-o", "json"))["items"]
    real = [node for node in nodes if "kwok.x-k8s.io/node" not in node["metadata"].get("annotations", {})]
    info = real[0]["status"]
    text = HEAD.format(version=info["nodeInfo"]["kubeletVersion"], nodes=len(real), cores=info["capacity"]["cpu"])
    for number, step in sorted(results.items(), key=lambda each: int(each[0])):
        text += f"| {number} {step['title']} | {step['proves']} | {step['result']} | {step['seconds']:.0f} |\n"
    for number, step in sorted(results.items(), key=lambda each: int(each[0])):
        text += f"\n## {number} {step['title']}\n\n"
        text += f"Failed: {step['error']}\n" if step.get("error") else "".join(lines(step["figures"]))
    PATH.write_text(text + part_of(PATH.read_text()))


def lines(figures: dict[str, Any], depth: int = 0) -> list[str]:
    """A nested list of figures."""
    made = []
    for name, value in figures.items():
        words = name.replace("_", " ")
        if isinstance(value, dict) and value:
            made += [f"{'  ' * depth}- {words}:\n", *lines(value, depth + 1)]
        else:
            made.append(f"{'  ' * depth}- {words}: {'none' if value in ({}, []) else value}\n")
    return made
