"""Errors of the package: what a user can mend, and the rest."""


class MlipError(Exception):
    """Base of every error that the package raises on purpose (exit code 1)."""


class UserInputError(MlipError):
    """Something that the user can mend: a file, an option, an element (exit code 2)."""


class UnsupportedModelError(UserInputError):
    """A model file that was read and holds a feature that the package does not know; the message names it."""


class TableError(MlipError):
    """Tables of radial functions that are not accurate enough for a model."""


class CloseAtomsWarning(UserWarning):
    """Two atoms are closer than the smallest distance that the model states for their elements."""


class ModelFileError(UserInputError):
    """A file that is no model, is damaged, or was compiled for another machine or torch."""
