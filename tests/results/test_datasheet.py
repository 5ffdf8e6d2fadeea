"""Stated peaks are given for known devices alone."""

import pytest

from intelbench.results.datasheet import PEAKS, peak_flops_per_second


def test_a_known_device_has_a_peak_in_each_precision() -> None:
    """As its maker states it: dense, tensor cores for 16 bits."""
    assert 989.4e12 == peak_flops_per_second("NVIDIA H100 80GB HBM3", "bf16")
    assert 66.9e12 == peak_flops_per_second("NVIDIA H100 80GB HBM3", "fp32")
    assert 989.4e12 == peak_flops_per_second("NVIDIA H200", "bf16")
    assert 66.9e12 == peak_flops_per_second("NVIDIA H200", "fp32")


@pytest.mark.parametrize(
    "name", ["AMD EPYC", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA H100", "NVIDIA H200 NVL", ""]
)
def test_an_unknown_device_has_none(name: str) -> None:
    """A name that is nearly right is another device."""
    assert peak_flops_per_second(name, "bf16") is None


@pytest.mark.parametrize("name", PEAKS)
def test_every_peak_is_plausible(name: str) -> None:
    """16 bits are not slower than 32, and both kinds are equally fast."""
    assert peak_flops_per_second(name, "fp32") < peak_flops_per_second(name, "fp16")
    assert peak_flops_per_second(name, "bf16") == peak_flops_per_second(name, "fp16")
