"""The kinds of definitions, one file each, and the table of what else the platform has to know of a kind."""
