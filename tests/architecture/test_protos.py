"""The protos: generated package is current, and every message, field, method and value is documented."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_package_is_what_the_protos_generate(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(
        [sys.executable, "protos/generate.py", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={"PATH": path},
    )
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.py*")}
    committed = ROOT / "protos" / "python"
    kept = {path.relative_to(committed): path.read_text() for path in committed.rglob("*.py*") if path.suffix != ".pyc"}
    assert made.keys() == kept.keys()
    assert [str(name) for name in made if made[name] != kept[name]] == [], "run `make protos`"


def test_there_is_one_package_inference() -> None:
    """Triton's client registers `inference.*`; a second copy in one process is an error of protobuf's."""
    assert not [path for path in ROOT.glob("protos/**/*.proto") if "package inference" in path.read_text()]
