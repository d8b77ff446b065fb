"""Reader of the long-range part of ``MACELES``, the MACE of mace-torch with latent Ewald summation."""

import math

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.mace.reader import checks
from mlip_lammps.families.mace.reader.module import Module
from mlip_lammps.structure.latent_ewald import LatentEwald

MODEL = "mace.modules.extensions.MACELES"
NAMES = frozenset(
    {
        MODEL,
        "les.les.Les",
        "les.les._DummyAtomwise",
        "les.module.atomicalpha.AtomicAlpha",
        "les.module.atomwise.Atomwise",
        "les.module.bec.BEC",
        "les.module.ewald.Ewald",
        "les.module.fixedcharges.FixedCharges",
    }
)
"""What files of such a model refer to in addition to the names of MACE."""

_SWITCHES = ("use_atomwise", "use_fixed_atomic_charges", "use_atomic_alpha", "use_epsilon_r_scaling")
"""Settings of ``les`` that change charges or add polarizabilities elsewhere; MACELES passes them on but has no input
for them."""


def read_latent_ewald(model: Module) -> LatentEwald | None:
    """Return the settings of the latent Ewald summation of a model, or None if its class has none.

    Raises
    ------
    UnsupportedModelError
        If a setting is not supported; the message names it.
    """
    if model.full_name != MODEL:
        return None
    les = model.child("les")
    les.require_class("Les")
    for name in _SWITCHES:
        if les.attribute(name, False) is not False:
            raise UnsupportedModelError(
                f"les_arguments of {model.source} set {name}, which is not supported; train with {name}: False"
            )
    ewald = les.child("ewald")
    ewald.require_class("Ewald")
    sigma, resolution, strength = (ewald.number(name) for name in ("sigma", "dl", "norm_factor"))
    is_sound = all(math.isfinite(value) and value > 0.0 for value in (sigma, resolution, strength))
    if not is_sound:
        raise ModelFileError(
            f"{ewald.label} has sigma {sigma}, dl {resolution} and norm_factor {strength}, expected positive numbers; "
            "copy or save the model again"
        )
    derived = {"sigma_sq_half": 0.5 * sigma**2, "k_sq_max": (2.0 * math.pi / resolution) ** 2, "twopi": 2.0 * math.pi}
    for name, expected in derived.items():
        found = ewald.number(name)
        checks.require(math.isclose(found, expected, rel_tol=1e-9), ewald, name, str(found))
    removes = ewald.attribute("remove_self_interaction")
    checks.require(removes is True or removes is False, ewald, "remove_self_interaction", str(removes))
    removes_mean = les.attribute("remove_mean", True)  # of Born effective charges
    checks.require(removes_mean is True or removes_mean is False, les, "remove_mean", str(removes_mean))
    epsilon = les.attribute("epsilon_factor", 1.0)
    is_sound = type(epsilon) in (int, float) and math.isfinite(epsilon) and epsilon > 0.0
    checks.require(is_sound, les, "epsilon_factor", str(epsilon))
    return LatentEwald(sigma, resolution, strength, not removes, removes_mean, float(epsilon))
