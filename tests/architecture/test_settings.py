"""Settings are the user's interface: every field says what it does."""

import importlib

import pytest

ROOMS = ("gateway", "features", "retrieval", "monitoring", "control")


@pytest.mark.parametrize("name", ROOMS)
def test_every_setting_is_documented(name: str) -> None:
    settings = importlib.import_module(f"{name}.settings").Settings
    for field, info in settings.model_fields.items():
        assert info.description, f"{name}.settings.Settings.{field} has no description"
        assert len(info.description) > 10, field
