"""Sizes in bytes, as people write them."""

import re


def byte_count(text: str) -> int:
    """Bytes as people write them: `8GB`, `500 MB`, `7.5GiB`."""
    match = re.fullmatch(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([KMGT]i?)?B\s*", text, re.IGNORECASE)
    unit = ((match and match[2]) or "").upper()
    scale = (1024 if unit.endswith("I") else 1000) ** " KMGT".index(unit[:1] or " ")
    if match is None or float(match[1]) * scale < 1:
        raise ValueError("not a size. Expected a number above 0 and a unit. Try 8GB, 500MB or 7.5GiB")
    return int(float(match[1]) * scale)
