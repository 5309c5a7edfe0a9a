"""Image of a flash memory from which a core learns alone: a header, a program that takes the place of the host, and samples.

All words have 32 bits, highest byte first, and stand at multiples of 4 bytes. The image begins at an address of the flash that is fixed
in the hardware.

======== =============================================================================================
part     contents
======== =============================================================================================
header   :data:`HEADER`: :data:`MAGIC`, the digest of the core's structure (high word, low word), and for other readers the number
         of samples to train on, their address, the number of held-out samples, their address, and the length of the image in bytes
program  instructions, see :class:`Operation`
samples  bits of the n_in raw inputs, then of the n_out raw targets, each with the width of its format, highest bit first; zeros up
         to a whole byte
======== =============================================================================================

Addresses in the image are those of the flash.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from python_ref.spec.design import DesignSpec

__all__ = [
    "ADDRESS_BITS",
    "CHECKED",
    "HEADER",
    "LIGHTS",
    "MAGIC",
    "READ",
    "RELEASE",
    "SAMPLES_BITS",
    "Operation",
    "SampleLayout",
    "pack",
]

MAGIC = 0x4D474446
"""First word of an image, "MGDF"."""

HEADER = ("magic", "digest_high", "digest_low", "samples", "samples_address", "held_out", "held_out_address", "length")
"""Names of the words of the header, in order."""

CHECKED = 3
"""Number of words of the header that the hardware compares with its own."""

LIGHTS = 5
"""Number of lights that show the accuracy, and of thresholds behind :attr:`Operation.INFER`."""

ADDRESS_BITS = 24
"""Width of an address of the flash, in bits."""

SAMPLES_BITS = 24
"""Width of a number of samples in the program, and of what a threshold is compared with."""

READ = 0x03
"""Command of a serial flash: read from the address that follows, one bit per cycle, on and on."""

RELEASE = 0xAB
"""Command of a serial flash: leave the power-down state, in which the configuration of an iCE40 leaves it."""


class Operation(enum.IntEnum):
    """Operation of an instruction, in bits 28 to 31 of its word; bits 0 to 23 are its operand."""

    END = 0
    """The program ends."""
    WRITE = 1
    """Write words to a register: bits 16 to 23 are its address, bits 0 to 15 the number of words that follow, from 1."""
    TRAIN = 2
    """Train on the samples at an address of the flash; two words follow: the number of steps, from 1, and that of the samples that
    these take."""
    INFER = 3
    """Judge samples: as TRAIN, and then :data:`LIGHTS` thresholds follow. A light is on where the register ``correct`` is at least its
    threshold; the first threshold is that of the last light."""


@dataclass(frozen=True)
class SampleLayout:
    """Number and widths of the values of a sample in the image.

    Attributes
    ----------
    inputs, targets : int
        Number of inputs and of targets.
    input_bits, target_bits : int
        Width of each, in bits.
    """

    inputs: int
    targets: int
    input_bits: int
    target_bits: int

    @classmethod
    def of(cls, spec: DesignSpec) -> SampleLayout:
        """Return the layout of a design's samples."""
        return cls(spec.network.n_in, spec.network.n_out, spec.formats.input.width, spec.formats.activation.width)

    @property
    def bits(self) -> int:
        """Number of bits of a sample, without the zeros at its end."""
        return self.inputs * self.input_bits + self.targets * self.target_bits

    @property
    def size(self) -> int:
        """Number of bytes of a sample."""
        return -(-self.bits // 8)

    @property
    def cycles(self) -> int:
        """Clock cycles in which the hardware reads a sample: two for a bit, and one for a value, or for the zeros at the end."""
        return 16 * self.size + self.inputs + self.targets + (self.padding > 0)

    @property
    def padding(self) -> int:
        """Number of zeros at the end of a sample, in bits."""
        return 8 * self.size - self.bits


def pack(layout: SampleLayout, inputs: np.ndarray, targets: np.ndarray) -> bytes:
    """Return the bytes of samples.

    Parameters
    ----------
    layout : SampleLayout
        Number and widths of the values.
    inputs, targets : array of int64, shape (n, n_in), shape (n, n_out)
        Raw inputs and raw targets.
    """
    columns = []
    for values, width in ((inputs, layout.input_bits), (targets, layout.target_bits)):
        places = np.arange(width - 1, -1, -1)
        columns.append((values[:, :, None] >> places & 1).astype(np.uint8).reshape(len(values), -1))
    return np.packbits(np.concatenate(columns, axis=1), axis=1).tobytes()
