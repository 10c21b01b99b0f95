"""The example's own modules."""

import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "flights"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))
