"""The readout of a layer in the GPU plan of a model: atomic energies and their gradients."""

import torch

from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.gpu.plan import GpuPlan, size
from mlip_lammps.kernels.lowered import LoweredLayer


class ReadoutPlan:
    """Launches of the readout of layer ``t``: no readout, linear, or with one hidden layer.

    Raises
    ------
    UnsupportedModelError
        If the readout has more than one hidden layer or a gate other than silu.
    """

    def __init__(self, plan: GpuPlan, layer: LoweredLayer, t: int, is_last: bool, energy_scale: float):
        self.plan, self.layer, self.t, self.scale = plan, layer, t, float(energy_scale)
        self.width = layer.n_components_out * layer.n_channels
        self.energies = "node_energies" if is_last else plan.buffer(f"energies_{t}", "local", 1, 8)
        self.n_matrices = len(layer.readout_matrices)
        if self.n_matrices > 2:
            raise UnsupportedModelError(
                f"the readout of layer {t} has {self.n_matrices - 1} hidden layers, but the GPU kernels support at "
                "most one; export with --device cpu"
            )
        if self.n_matrices == 2 and layer.readout_activation != "silu":
            raise UnsupportedModelError(
                f"the readout of layer {t} has the gate {layer.readout_activation}, but the GPU kernels support silu; "
                "export with --device cpu"
            )
        if self.n_matrices == 0:
            return
        first = layer.readout_matrices[0]
        spread = torch.zeros(layer.n_components_out, layer.n_channels, first.shape[1], dtype=first.dtype)
        spread[list(layer.readout_scalars)] = first.view(len(layer.readout_scalars), layer.n_channels, -1)
        plan.weight(f"readout_{t}", spread)
        if self.n_matrices == 2:
            plan.weight(f"readout_{t}_second", layer.readout_matrices[1])
        self._add_kernels(C_TYPES[plan.dtype], first.shape[1])

    def _add_kernels(self, c: str, n_hidden: int) -> None:
        rows = "int n", f"const {c} *result", "int width"
        before, energies, weights = "const double *before", "double *energies", "const double *energy_weights"
        if self.n_matrices == 2:
            self.plan.kernel(
                f"nonlinear_readout_{n_hidden}",
                f"nonlinear_readout<{c}, {n_hidden}>",
                *rows,
                f"const {c} *first",
                f"const {c} *second",
                "double activation_scale",
                "double scale",
                before,
                weights,
                energies,
                f"{c} *gradients",
            )
            return
        vector = f"const {c} *vector", "double scale"
        self.plan.kernel("linear_readout", "linear_readout", *rows, *vector, before, energies)
        given = "int n", weights, "int width"
        self.plan.kernel("linear_readout_adjoint", "linear_readout_adjoint", *given, *vector, f"{c} *gradients")

    def forward(self, phase: str) -> None:
        """Add the layer's contribution to the energies; a readout with a hidden layer also writes the gradient."""
        t, before = self.t, f"energies_{self.t - 1}"
        rows = size("local"), f"result_{t}", self.width, f"readout_{t}"
        if self.n_matrices == 0:
            self.plan.copy(phase, before, self.energies)
        elif self.n_matrices == 1:
            self.plan.launch(phase, "linear_readout", "local", 1, *rows, self.scale, before, self.energies)
        else:
            scales = float(self.layer.readout_activation_scale), self.scale
            given = f"readout_{t}_second", *scales, before, "energy_weights", self.energies, f"result_{t}_gradients"
            kernel = f"nonlinear_readout_{self.layer.readout_matrices[0].shape[1]}"
            self.plan.launch(phase, kernel, "local", 1, *rows, *given)

    def adjoint(self, phase: str, is_forward_before: bool) -> None:
        """Write the gradients of the result; ``is_forward_before`` tells whether ``forward`` ran in the same phase."""
        gradients = f"result_{self.t}_gradients"
        if self.n_matrices == 0:
            self.plan.clear(phase, gradients)
        elif self.n_matrices == 1:
            rows = size("local"), "energy_weights", self.width, f"readout_{self.t}"
            self.plan.launch(phase, "linear_readout_adjoint", "local", 1, *rows, self.scale, gradients)
        elif not is_forward_before:
            self.forward(phase)
