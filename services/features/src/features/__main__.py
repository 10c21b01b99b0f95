"""python -m features"""

from features.main import main

raise SystemExit(main())
