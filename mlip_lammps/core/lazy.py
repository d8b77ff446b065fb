"""Names of a package that are imported on first use, so that importing the package stays quick."""

import importlib
from collections.abc import Callable, Mapping


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    Parameters
    ----------
    package
        ``__name__`` of the package.
    homes
        Module of each public name, relative to the package.
    """

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package} has no {name}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return find
