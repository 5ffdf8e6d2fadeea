"""Peak FLOP/s of GPUs from data sheets: dense, without sparsity, at boost clock.

A GPU that is not here, or a part of one (MIG), has no value; nothing is estimated.
"""

from collections.abc import Mapping

_A100 = 19.5e12, 312e12  # NVIDIA A100 Tensor Core GPU data sheet
PEAKS: Mapping[str, tuple[float, float]] = {
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA H100 80GB HBM3": (66.9e12, 989.4e12),  # NVIDIA H100 Tensor Core GPU Architecture white paper
    "NVIDIA H100 PCIe": (51.2e12, 756e12),  # the same
    # Its data sheet has 67 TFLOP/s, and 1,979 with sparsity; these are the same figures to one digit more.
    "NVIDIA H200": (66.9e12, 989.4e12),
}
"""FLOP/s by the name that the driver gives: of float32 outside tensor cores, because that is what a run in fp32 uses,
and of bf16 and fp16 on tensor cores with float32 accumulation."""


def peak_flops_per_second(device_name: str, precision: str) -> float | None:
    """Return the stated peak FLOP/s of a device in the precision of a run; `None` if it is not known."""
    peaks = PEAKS.get(device_name)
    return None if peaks is None else peaks[0 if precision == "fp32" else 1]
