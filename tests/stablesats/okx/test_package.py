"""The door of the package."""

from types import ModuleType

from stablesats import okx


def test_everything_public_is_listed() -> None:
    """`__all__` names what can be imported from here, and nothing else is public."""
    public = {
        name
        for name, value in vars(okx).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(okx.__all__) == public
    assert okx.__all__ == sorted(okx.__all__, key=lambda name: (not name.isupper(), name))
