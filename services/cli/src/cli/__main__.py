"""python -m cli is mizzen."""

from cli.main import main

main()
