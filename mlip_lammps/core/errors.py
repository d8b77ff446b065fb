"""Errors of the package: those that a user can fix, and the rest."""

import zipfile
import zlib

DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError)
"""What ``zipfile`` raises for damaged archives; a ``RuntimeError`` for one that seems encrypted or newer."""


class MlipError(Exception):
    """Base class of every error that the package raises on purpose (exit code 1)."""


class UserInputError(MlipError):
    """An error that the user can fix: a wrong file, option or element (exit code 2)."""


class UnsupportedModelError(UserInputError):
    """A readable model file with a feature that the package does not support; the message names the feature."""


class TableError(MlipError):
    """Radial tables that are not accurate enough for a model."""


class CloseAtomsWarning(UserWarning):
    """Two atoms are closer than the smallest distance that the model states for their elements."""


class ModelFileError(UserInputError):
    """A file that is not a model, is damaged, or was compiled for another machine or torch version."""
