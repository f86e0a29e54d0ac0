"""The door of the package."""

from types import ModuleType

from stablesats.okx import streams


def test_everything_public_is_listed() -> None:
    """`__all__` names what can be imported from here, and nothing else is public."""
    public = {
        name
        for name, value in vars(streams).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(streams.__all__) == public
    assert streams.__all__ == sorted(streams.__all__, key=lambda name: (not name.isupper(), name))
