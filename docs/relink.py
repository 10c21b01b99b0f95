"""Keeps line links of the documents true.

A link that names a line says in its title what stands there: `[text](../path.py#L12 "async def predict")`. This script finds
the title's text in the file and writes the line number it has now; `--check` only says what it would change (exit status 1).
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LINK = re.compile(r'\]\((?P<path>[^)#\s]+)#L(?P<line>\d+) "(?P<title>[^"]+)"\)')
ANY_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")


def relinked(document: Path, faults: list[str]) -> str:
    """The document's text with every line number right; what can't be found is added to `faults`."""

    def line_of(match: re.Match[str]) -> str:
        target = (document.parent / match["path"]).resolve()
        lines = target.read_text().splitlines() if target.is_file() else []
        found = [number for number, line in enumerate(lines, 1) if match["title"] in line]
        if len(found) != 1:
            faults.append(f'{document.name}: "{match["title"]}" stands {len(found)} times in {match["path"]}')
            return match[0]
        return f']({match["path"]}#L{found[0]} "{match["title"]}")'

    return LINK.sub(line_of, document.read_text())


def dead_links(document: Path) -> list[str]:
    """Relative links of the document whose file does not exist."""
    targets = [match["target"].partition("#")[0] for match in ANY_LINK.finditer(document.read_text())]
    return [
        f"{document.name}: {target}"
        for target in targets
        if target and ":" not in target and not (document.parent / target).exists()
    ]


def main(arguments: list[str]) -> int:
    """0 when all links are true (now)."""
    faults: list[str] = []
    for document in sorted([*ROOT.rglob("*.md"), *ROOT.parent.glob("*.md")]):
        text = relinked(document, faults)
        faults += dead_links(document)
        if text != document.read_text():
            if "--check" in arguments:
                faults.append(f"{document.name}: line numbers have moved, run python docs/relink.py")
            else:
                document.write_text(text)
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
