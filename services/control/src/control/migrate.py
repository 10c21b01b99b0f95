"""Brings the tables to this version as their owner and ends: `python -m control.migrate`.

An init container runs it, so that the container that serves never has the owner's password.
"""

import sys

from chassis.once import run_once
from chassis.postgres.migrations import migrate_owned
from chassis.postgres.roles import Owner
from chassis.settings import from_environment
from control.adapters.postgres_schema import STORE
from control.settings import Settings


def main() -> int:
    """The exit status: 0 when the tables are there, 1 when they can't be changed."""
    settings = from_environment(Settings)
    owner = Owner.needed(settings)
    return run_once(settings, lambda: migrate_owned(owner, STORE, settings.postgres_url))


if __name__ == "__main__":
    sys.exit(main())
