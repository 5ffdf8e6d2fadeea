"""Peak FLOP/s of GPUs from data sheets: dense, without sparsity, at boost clock.

`fp32` is true float32 outside tensor cores, because that is what a run in fp32 uses; `bf16` and `fp16` are tensor cores
with float32 accumulation. A GPU that is not here, or a part of one (MIG), has no value; nothing is estimated.
"""

from typing import NamedTuple


class DataSheet(NamedTuple):
    """Peak FLOP/s of a GPU by precision."""

    fp32: float
    bf16: float
    fp16: float
    source: str


_AMPERE = "NVIDIA A100 Tensor Core GPU data sheet"
_HOPPER = "NVIDIA H100 Tensor Core GPU Architecture white paper"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet"

_A100 = DataSheet(19.5e12, 312e12, 312e12, _AMPERE)
DATA_SHEETS: dict[str, DataSheet] = {
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA H100 80GB HBM3": DataSheet(66.9e12, 989.4e12, 989.4e12, _HOPPER),
    "NVIDIA H100 PCIe": DataSheet(51.2e12, 756e12, 756e12, _HOPPER),
    # The data sheet has 67 TFLOP/s, and 1,979 with sparsity; these are the same figures to one digit more.
    "NVIDIA H200": DataSheet(66.9e12, 989.4e12, 989.4e12, _H200),
}  # fmt: skip
"""Data sheets by the name that the driver gives."""


def peak_flops_per_second(device_name: str, precision: str) -> float | None:
    """Return the stated peak FLOP/s of a device in the precision of a run; `None` if it is not known."""
    sheet = DATA_SHEETS.get(device_name)
    peak: float | None = getattr(sheet, precision) if sheet else None
    return peak
