"""The forms of numbers that vLLM takes on its command line."""

import argparse
import re

DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
AUTO_LENGTH = -1


def readable_int(text: str) -> int:
    """Parse 8192, 8k (8,000), 8K (8,192) or 25.6k. Raise what argparse turns into an error of the flag."""
    matched = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text.strip())
    if matched is None:
        return int(text)
    number, suffix = matched.groups()
    if suffix in DECIMAL:
        return int(float(number) * DECIMAL[suffix])
    if "." in number:
        raise argparse.ArgumentTypeError(
            f"Decimals are not allowed with binary suffixes like {suffix}. Did you mean to use "
            f"{number}{suffix.lower()} instead?"
        )
    return int(number) * BINARY[suffix]


def readable_int_or_auto(text: str) -> int:
    """Parse a number, or `auto` or -1 as AUTO_LENGTH."""
    return AUTO_LENGTH if text.strip().lower() in ("-1", "auto") else readable_int(text)
