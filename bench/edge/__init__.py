"""The edge under load and attack: `make chaos-edge` runs every probe here and writes its figures into docs/promises.md."""
