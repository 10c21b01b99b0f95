"""The one examination of definitions, used by whatever takes or writes them.

A service examines with the definitions alone, so that every service knows the same, and none refuses what another takes. Who
writes definitions (`mizzen validate`, `apply`, `up`) adds what it knows of the outside: tables and model packages.
"""

from catalog.examine.outside import Bound, Outside, Package, Packages, PackageTensor, SqlFault, Tables
from catalog.examine.whole import Examination, examine, examine_change

__all__ = [
    "Bound",
    "Examination",
    "Outside",
    "Package",
    "PackageTensor",
    "Packages",
    "SqlFault",
    "Tables",
    "examine",
    "examine_change",
]
