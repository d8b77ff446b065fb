"""Classes and functions that a supported mace-torch file may refer to."""

from mlip_lammps.families.mace.interactions import block_names
from mlip_lammps.families.mace.reader import cuequivariance, latent_ewald, openequivariance

MODELS = frozenset({"mace.modules.models.MACE", "mace.modules.models.ScaleShiftMACE", latent_ewald.MODEL})

_NAMES = MODELS | frozenset(
    {
        "e3nn.math._normalize_activation.normalize2mom",
        "e3nn.nn._activation.Activation",
        "e3nn.nn._fc.FullyConnectedNet",
        "e3nn.nn._fc._Layer",
        "e3nn.o3._irreps.Irrep",
        "e3nn.o3._irreps.Irreps",
        "e3nn.o3._irreps._MulIr",
        "e3nn.o3._linear.Instruction",
        "e3nn.o3._linear.Linear",
        "e3nn.o3._spherical_harmonics.SphericalHarmonics",
        "e3nn.o3._tensor_product._instruction.Instruction",
        "e3nn.o3._tensor_product._sub.FullyConnectedTensorProduct",
        "e3nn.o3._tensor_product._tensor_product.TensorProduct",
        "mace.modules.blocks.AtomicEnergiesBlock",
        "mace.modules.blocks.EquivariantProductBasisBlock",
        "mace.modules.blocks.LinearNodeEmbeddingBlock",
        "mace.modules.blocks.LinearReadoutBlock",
        "mace.modules.blocks.NonLinearBiasReadoutBlock",
        "mace.modules.blocks.NonLinearReadoutBlock",
        "mace.modules.blocks.RadialEmbeddingBlock",
        "mace.modules.blocks.ScaleShiftBlock",
        "mace.modules.embeddings.GenericJointEmbedding",
        "mace.modules.gate.GatedEquivariantBlock",
        "mace.modules.lora.LoRADenseLinear",
        "mace.modules.lora.LoRAFCLayer",
        "mace.modules.lora.LoRAO3Linear",
        "mace.modules.irreps_tools.reshape_irreps",
        "mace.modules.radial.AgnesiTransform",
        "mace.modules.radial.BesselBasis",
        "mace.modules.radial.ChebychevBasis",
        "mace.modules.radial.GaussianBasis",
        "mace.modules.radial.PolynomialCutoff",
        "mace.modules.radial.RadialMLP",
        "mace.modules.radial.SoftTransform",
        "mace.modules.radial.ZBLBasis",
        "mace.modules.symmetric_contraction.Contraction",
        "mace.modules.symmetric_contraction.EmptyParam",
        "mace.modules.symmetric_contraction.SymmetricContraction",
        "mace.modules.wrapper_ops.CuEquivarianceConfig",
        "mace.modules.wrapper_ops.OEQConfig",
        "torch.fx._symbolic_trace.Tracer",
        "torch.fx.graph_module.reduce_graph_module",
        "torch.nn.functional.sigmoid",
        "torch.nn.functional.silu",
        "torch.nn.modules.activation.SiLU",
        "torch.nn.modules.container.ModuleDict",
        "torch.nn.modules.container.ModuleList",
        "torch.nn.modules.container.ParameterList",
        "torch.nn.modules.container.Sequential",
        "torch.nn.modules.linear.Linear",
        "torch.nn.modules.normalization.LayerNorm",
        "torch.nn.modules.sparse.Embedding",
    }
)

_WRAPPERS = frozenset(
    {
        "__builtin__.getattr",
        "builtins.getattr",
        "contextlib.nullcontext",
        "mace.calculators.lammps_mliap_mace.LAMMPS_MLIAP_MACE",
        "mace.calculators.lammps_mliap_mace.MACEEdgeForcesWrapper",
        "mace.calculators.lammps_mliap_mace.MACELammpsConfig",
        "torch._C._VariableFunctionsClass",
        "torch._TorchCompileInductorWrapper",
        "torch._dynamo.convert_frame.CatchErrorsWrapper",
        "torch._dynamo.convert_frame.ConvertFrame",
        "torch._dynamo.convert_frame.ConvertFrameAssert",
        "torch._dynamo.convert_frame.ConvertFrameBox",
        "torch._dynamo.eval_frame.OptimizeContext",
        "torch._dynamo.eval_frame.OptimizedModule",
        "torch._dynamo.hooks.Hooks",
        "torch._dynamo.repro.after_dynamo.WrapBackendDebug",
        "torch.nn.modules.module.Module",
        "torch.nn.parallel.data_parallel.DataParallel",
        "torch.nn.parallel.distributed.DistributedDataParallel",
    }
)
"""What files refer to that contain a model in a wrapper of torch or mace-torch; ``getattr`` is restricted further."""


def allowed_names() -> frozenset[str]:
    """Return the allowed globals of a file: those of MACE and those of the registered interaction blocks."""
    others = latent_ewald.NAMES | cuequivariance.NAMES | openequivariance.NAMES
    return _NAMES | _WRAPPERS | others | {f"mace.modules.blocks.{name}" for name in block_names()}
