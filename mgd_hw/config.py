"""The former name of :mod:`mgd_hw.design.reader`, kept for one release."""

from mgd_hw.design.description import CompareSpec, Derived, Design
from mgd_hw.design.reader import find, load, parse, read_values, shipped, shipped_folder

__all__ = ["CompareSpec", "Derived", "Design", "find", "load", "parse", "read_values", "shipped", "shipped_folder"]
