import sys

from retrieval.main import main

sys.exit(main())
