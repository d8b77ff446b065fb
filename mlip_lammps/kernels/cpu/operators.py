"""Operators of one layer's C++ kernels: for tracing, for Python, and, as C functions, for compiled programs."""

from torch import Tensor

from mlip_lammps.kernels.cpu.contraction import ContractionShape
from mlip_lammps.kernels.cpu.convolution import ConvolutionShape
from mlip_lammps.kernels.cpu.density import DensityShape
from mlip_lammps.kernels.cpu.expansion import ExpansionShape
from mlip_lammps.kernels.cpu.functions import C_TYPES, Input, KernelFunction, Output, Scalar, register_gradient
from mlip_lammps.kernels.cpu.linear import LinearShape
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.network import NetworkShape
from mlip_lammps.kernels.cpu.radials import in_braces
from mlip_lammps.kernels.cpu.symmetry_functions import SymmetryShape

_EDGES = (Input("vectors", "double"), Input("centre", "int64_t"), Input("source", "int64_t"))


class ConvolutionOp:
    """The edge convolution of one layer as an operator with a gradient.

    Call it with features (n_sources, n_in * n_channels), edge vectors (n_edges, 3), centres, sources (rows of the
    features, (n_edges,)), the radial functions, and a tensor of n_local rows; it returns (n_local, n_mid * n_channels).
    Radial functions: a table in ``shape.table_layout`` with its intervals an angstrom and their number; or values and
    slopes of hidden functions (n_edges, n_hidden) and the matrix after them in ``shape.last_matrix_layout``.
    """

    def __init__(self, shape: ConvolutionShape, digest: str):
        self.shape = shape
        c_type, template = C_TYPES[shape.dtype], f"Convolution<{shape.name}>"
        radials = shape.radials.inputs(c_type)
        inputs = (Input("features", c_type), *_EDGES, *radials)
        arguments = f"vectors_rows, features, vectors, centre, source, {in_braces(radials)}"
        upstream = Input("gradients", c_type)
        feature_gradients = Output("feature_gradients", c_type, "features", shape.width_in)
        edge_gradients = Output("edge_gradients", "double", "vectors", 3)
        self.forward = KernelFunction(
            f"{shape.name}_{digest}",
            (*inputs, Input("like", "int64_t")),
            (Output("messages", c_type, "like", shape.width_out),),
            f"  {template}::forward(like_rows, {arguments}, messages);",
        )
        split = "gradients_rows, vectors_rows, features_rows, features, vectors, centre, source, " + in_braces(radials)
        self.adjoint = KernelFunction(
            f"{shape.name}_{digest}_adjoint",
            (*inputs, upstream),
            (feature_gradients, edge_gradients),
            f"  {template}::backward({split}, gradients, feature_gradients, edge_gradients);",
        )
        self.edge_adjoint = KernelFunction(
            f"{shape.name}_{digest}_edge_adjoint",
            (*inputs, upstream),
            (edge_gradients,),
            f"  {template}::backward({split}, gradients, nullptr, edge_gradients);",
        )
        self.functions = (self.forward, self.adjoint, self.edge_adjoint)

    def connect(self) -> None:
        """Register the gradient."""

        def gradient(arguments, needed, upstream):
            if needed[0]:
                features, vectors = self.adjoint(*arguments[:-1], upstream)
                return {"features": features, "vectors": vectors}
            return {"vectors": self.edge_adjoint(*arguments[:-1], upstream)}

        register_gradient(self.forward, gradient)

    def __call__(self, *arguments) -> Tensor:
        return self.forward(*arguments)


class _SumOverEdges:
    """An operator on edges alone, ``forward``, whose only gradient is that of the edge vectors, ``adjoint``."""

    forward: KernelFunction
    adjoint: KernelFunction

    @property
    def functions(self) -> tuple[KernelFunction, ...]:
        return self.forward, self.adjoint

    def connect(self) -> None:
        """Register the gradient."""

        def gradient(arguments, needed, upstream):
            return {"vectors": self.adjoint(*arguments[:-1], upstream)}

        register_gradient(self.forward, gradient)

    def __call__(self, *arguments) -> Tensor:
        return self.forward(*arguments)


class MomentsOp(_SumOverEdges):
    """Sums of radial functions times spherical harmonics over the neighbours of each element.

    Call it with edge vectors, centres, species of the neighbours, the radial functions, and a tensor of n_local rows;
    it returns (n_local, n_harmonics * n_elements * n_functions). Radial functions: a table as for the convolution; or
    values and slopes (n_edges, n_functions).
    """

    def __init__(self, shape: MomentsShape, digest: str):
        self.shape = shape
        c_type, template = C_TYPES[shape.dtype], f"Moments<{shape.name}>"
        radials = shape.radials.inputs(c_type)
        inputs = (*_EDGES, *radials)
        edges = f"vectors, centre, source, {in_braces(radials)}"
        self.forward = KernelFunction(
            f"{shape.name}_{digest}",
            (*inputs, Input("like", "int64_t")),
            (Output("moments", c_type, "like", shape.width),),
            f"  {template}::forward(like_rows, vectors_rows, {edges}, moments);",
        )
        self.adjoint = KernelFunction(
            f"{shape.name}_{digest}_adjoint",
            (*inputs, Input("gradients", c_type)),
            (Output("edge_gradients", "double", "vectors", 3),),
            f"  {template}::backward(gradients_rows, vectors_rows, {edges}, gradients, edge_gradients);",
        )


class DensityOp(_SumOverEdges):
    """The sum over neighbours of one function of the distance as an operator with a gradient.

    Call it with edge vectors, centres, the table and a tensor of n_local rows; it returns (n_local, 1), float64.
    """

    def __init__(self, shape: DensityShape, digest: str):
        self.shape = shape
        template, radials = f"Density<{shape.name}>", shape.radials.inputs("double")
        inputs = (Input("vectors", "double"), Input("centre", "int64_t"), *radials)
        edges = f"vectors_rows, vectors, centre, {in_braces(radials)}"
        self.forward = KernelFunction(
            f"{shape.name}_{digest}",
            (*inputs, Input("like", "int64_t")),
            (Output("density", "double", "like", 1),),
            f"  {template}::forward(like_rows, {edges}, density);",
        )
        self.adjoint = KernelFunction(
            f"{shape.name}_{digest}_adjoint",
            (*inputs, Input("gradients", "double")),
            (Output("edge_gradients", "double", "vectors", 3),),
            f"  {template}::backward({edges}, gradients, edge_gradients);",
        )


class SymmetryOp(_SumOverEdges):
    """Sums over neighbours and pairs of neighbours as an operator with a gradient.

    Call it with edge vectors, centres, species of the neighbours, integers and numbers of the plan (``symmetry_plan``)
    and species of the centres; it returns (n_local, ``shape.n_columns``), float64.
    """

    def __init__(self, shape: SymmetryShape, digest: str):
        self.shape = shape
        template = f"SymmetrySums<{shape.name}>"
        inputs = (*_EDGES, Input("plan", "int64_t"), Input("numbers", "double"), Input("species", "int64_t"))
        arguments = "species_rows, vectors_rows, vectors, centre, source, plan, numbers, species"
        self.forward = KernelFunction(
            f"{shape.name}_{digest}",
            inputs,
            (Output("sums", "double", "species", shape.n_columns),),
            f"  {template}::forward({arguments}, sums);",
        )
        self.adjoint = KernelFunction(
            f"{shape.name}_{digest}_adjoint",
            (*inputs, Input("gradients", "double")),
            (Output("edge_gradients", "double", "vectors", 3),),
            f"  {template}::backward({arguments}, gradients, edge_gradients);",
        )

    def connect(self) -> None:
        """Register the gradient."""

        def gradient(arguments, needed, upstream):
            return {"vectors": self.adjoint(*arguments, upstream)}

        register_gradient(self.forward, gradient)


class NetworkOp:
    """Hidden functions of a layer's radial network on every edge, without a gradient: slopes are given beside values.

    Call ``values`` or ``with_slopes`` with edge vectors, wave numbers, cutoff and matrices (``shape.matrices``); they
    return (n_edges, width), the second also derivatives in 1/angstrom.
    """

    def __init__(self, shape: NetworkShape, digest: str):
        self.shape = shape
        c_type, arguments = C_TYPES[shape.dtype], "vectors_rows, vectors, wave_numbers, cutoff, matrices"
        inputs = (
            Input("vectors", "double"),
            Input("wave_numbers", "double"),
            Scalar("cutoff", "double"),
            Input("matrices", c_type),
        )
        values, slopes = (Output(name, c_type, "vectors", shape.width) for name in ("values", "slopes"))
        self.values = KernelFunction(
            f"{shape.name}_{digest}",
            inputs,
            (values,),
            f"  Network<{shape.name}>::run({arguments}, values, nullptr);",
        )
        self.with_slopes = KernelFunction(
            f"{shape.name}_{digest}_with_slopes",
            inputs,
            (values, slopes),
            f"  Network<{shape.name}>::run({arguments}, values, slopes);",
        )
        self.functions = (self.values, self.with_slopes)

    def connect(self) -> None:
        """Register nothing: there is no gradient."""


class ContractionOp:
    """The symmetric contraction of one layer as an operator with a gradient.

    Call it with messages (n_local, n_in * n_channels), species (n_local,) and weights in ``shape.weights_layout``;
    it returns (n_local, n_out * n_channels).
    """

    def __init__(self, shape: ContractionShape, digest: str):
        self.shape = shape
        c_type, template = C_TYPES[shape.dtype], f"Contraction<{shape.name}>"
        inputs = (Input("messages", c_type), Input("species", "int64_t"), Input("weights", c_type))
        self.forward = KernelFunction(
            f"{shape.name}_{digest}",
            inputs,
            (Output("result", c_type, "messages", shape.width_out),),
            f"  {template}::forward(messages_rows, messages, species, weights, result);",
        )
        self.adjoint = KernelFunction(
            f"{shape.name}_{digest}_adjoint",
            (*inputs, Input("gradients", c_type)),
            (Output("result", c_type, "messages", shape.width_in),),
            f"  {template}::backward(messages_rows, messages, species, weights, gradients, result);",
        )
        self.functions = (self.forward, self.adjoint)

    def connect(self) -> None:
        """Register the gradient."""

        def gradient(arguments, needed, upstream):
            return {"messages": self.adjoint(*arguments, upstream)}

        register_gradient(self.forward, gradient)

    def __call__(self, *arguments) -> Tensor:
        return self.forward(*arguments)


class ExpansionOp:
    """The densities of an atomic cluster expansion as an operator with a gradient.

    Call it with moments (n_local, ``shape.width``), species (n_local,), plan and weights (``expansion_plan``); it
    returns (n_local, ``shape.n_out``).
    """

    def __init__(self, shape: ExpansionShape, digest: str):
        self.shape = shape
        c_type, template = C_TYPES[shape.dtype], f"Expansion<{shape.name}>"
        inputs = (
            Input("moments", c_type),
            Input("species", "int64_t"),
            Input("plan", "int64_t"),
            Input("weights", c_type),
        )
        arguments = "moments_rows, moments, species, plan, weights"
        self.forward = KernelFunction(
            f"{shape.name}_{digest}",
            inputs,
            (Output("densities", c_type, "moments", shape.n_out),),
            f"  {template}::forward({arguments}, densities);",
        )
        self.adjoint = KernelFunction(
            f"{shape.name}_{digest}_adjoint",
            (*inputs, Input("gradients", c_type)),
            (Output("result", c_type, "moments", shape.width),),
            f"  {template}::backward({arguments}, gradients, result);",
        )
        self.functions = (self.forward, self.adjoint)

    def connect(self) -> None:
        """Register the gradient."""

        def gradient(arguments, needed, upstream):
            return {"moments": self.adjoint(*arguments, upstream)}

        register_gradient(self.forward, gradient)

    def __call__(self, *arguments) -> Tensor:
        return self.forward(*arguments)


class LinearOp:
    """Linear maps of irreps as an operator with a gradient.

    Call it with features (n, n_in * n_channels), species (n,), the matrices and the transposed
    matrices (``shape.matrices``); it returns (n, n_out * n_channels).
    """

    def __init__(self, shape: LinearShape, digest: str):
        self.shape = shape
        c_type = C_TYPES[shape.dtype]
        inputs = (
            Input("features", c_type),
            Input("species", "int64_t"),
            Input("matrices", c_type),
            Input("transposed", c_type),
        )
        self.forward = KernelFunction(
            f"{shape.name}_{digest}",
            inputs,
            (Output("result", c_type, "features", shape.width_out),),
            f"  Linear<{shape.name}>::run(features_rows, features, species, matrices, result);",
        )
        self.adjoint = KernelFunction(
            f"{shape.name}_{digest}_adjoint",
            inputs,
            (Output("result", c_type, "features", shape.width_in),),
            f"  Linear<{shape.transposed().name}>::run(features_rows, features, species, transposed, result);",
        )
        self.functions = (self.forward, self.adjoint)

    def connect(self) -> None:
        """Register the gradient."""

        def gradient(arguments, needed, upstream):
            return {"features": self.adjoint(upstream, *arguments[1:])}

        register_gradient(self.forward, gradient)

    def __call__(self, *arguments) -> Tensor:
        return self.forward(*arguments)
