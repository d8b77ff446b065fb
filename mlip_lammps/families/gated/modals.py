"""Selection of one modal: the data set or level of theory whose energies a model gives."""

from dataclasses import replace

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families.gated.spec import GatedModel


def select_modal(trained: GatedModel, name: str | None) -> GatedModel:
    """Return ``trained`` for the modal ``name``; None stands for the only one.

    Raises
    ------
    UserInputError
        If the model has no such modal, or if it has several and ``name`` is None.
    """
    modals, source = trained.spec.modals, trained.source_name
    if not modals:
        if name is not None:
            raise UserInputError(f"{source} has no heads; do not choose one")
        return trained
    if name is None:
        if trained.spec.modal is not None:
            return trained
        if len(modals) > 1:
            raise UserInputError(f"{source} has the heads {', '.join(modals)}; choose one with --head or head=")
        name = modals[0]
    if name not in modals:
        raise UserInputError(f"{source} has no head {name}; choose one of {', '.join(modals)}")
    return replace(trained, spec=replace(trained.spec, modal=modals.index(name)))
