"""Peak arithmetic of GPUs as their makers state it: dense, without sparsity, at boost clock, in FLOP/s.

`fp32` is true float32 outside tensor cores, because that is what a run in fp32 uses; `bf16` and `fp16` are tensor cores
with float32 accumulation. Where a document states figures with sparsity alone, half of them are taken. A GPU that is
not here, or a part of one (MIG), has no value: none is estimated.
"""

from typing import NamedTuple


class DataSheet(NamedTuple):
    """What one document states."""

    fp32: float
    bf16: float | None
    """`None` where the GPU cannot."""
    fp16: float
    source: str


_AMPERE = "NVIDIA A100 Tensor Core GPU data sheet"
_HOPPER = "NVIDIA H100 Tensor Core GPU Architecture white paper"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet"
_VOLTA = "NVIDIA V100 Tensor Core GPU data sheet"

_A100 = DataSheet(19.5e12, 312e12, 312e12, _AMPERE)
DATA_SHEETS: dict[str, DataSheet] = {
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA H100 80GB HBM3": DataSheet(66.9e12, 989.4e12, 989.4e12, _HOPPER),
    "NVIDIA H100 PCIe": DataSheet(51.2e12, 756e12, 756e12, _HOPPER),
    "NVIDIA H200": DataSheet(67e12, 989.5e12, 989.5e12, _H200),
    "Tesla V100-SXM2-16GB": DataSheet(15.7e12, None, 125e12, _VOLTA),
    "Tesla V100-SXM2-32GB": DataSheet(15.7e12, None, 125e12, _VOLTA),
    "Tesla V100-PCIE-16GB": DataSheet(14e12, None, 112e12, _VOLTA),
    "Tesla V100-PCIE-32GB": DataSheet(14e12, None, 112e12, _VOLTA),
    "Tesla T4": DataSheet(8.1e12, None, 65e12, "NVIDIA T4 Tensor Core GPU data sheet"),
    "NVIDIA L4": DataSheet(30.3e12, 121e12, 121e12, "NVIDIA L4 Tensor Core GPU data sheet"),
    "NVIDIA L40S": DataSheet(91.6e12, 362e12, 362e12, "NVIDIA L40S GPU data sheet"),
}  # fmt: skip
"""By the name that the driver gives."""


def peak_flops_per_second(device_name: str, precision: str) -> float | None:
    """The stated peak of a device in the precision of a run, where it is known."""
    sheet = DATA_SHEETS.get(device_name)
    peak: float | None = getattr(sheet, precision) if sheet else None
    return peak
