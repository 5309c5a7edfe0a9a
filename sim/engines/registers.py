"""Let the registers of a CXXRTL model lie side by side, those of each width: then one loop commits them, without a branch for each."""

from __future__ import annotations

import re
from collections import defaultdict

__all__ = ["Registers"]

_MEMBER = re.compile(r"^\t(?:/\*\w+\*/ )?wire<(?P<bits>\d+)> (?P<name>\w+);\n", re.MULTILINE)
_COMMITTED = re.compile(r"^\t\tif \((?P<name>\w+)\.commit\(observer\)\) changed = true;\n", re.MULTILINE)
_LOOP = """\
template<size_t Bits>
__attribute__((optimize("O3")))
bool commit_registers(void *first, size_t count) {
	wire<Bits> *registers = static_cast<wire<Bits> *>(first);
	chunk_t changed = 0;
	for (size_t number = 0; number < count; number++) {
		for (size_t chunk = 0; chunk < value<Bits>::chunks; chunk++) {
			changed |= registers[number].curr.data[chunk] ^ registers[number].next.data[chunk];
			registers[number].curr.data[chunk] = registers[number].next.data[chunk];
		}
	}
	return changed != 0;
}

"""
"""C++ that does what ``wire::commit`` does for each of ``count`` registers, and returns whether one has changed."""


class Registers:
    """The registers of a model that one loop for each of their widths can commit.

    Parameters
    ----------
    header : str
        Text of ``model.h``.
    lines : str
        Lines of the function ``commit`` in it.
    """

    def __init__(self, header: str, lines: str) -> None:
        committed = {match["name"] for match in _COMMITTED.finditer(lines)}
        self._names: dict[int, list[str]] = defaultdict(list)
        for match in _MEMBER.finditer(header):
            if match["name"] in committed:
                self._names[int(match["bits"])].append(match["name"])
        self._all = {name for names in self._names.values() for name in names}

    def moved(self, model: str, header: str) -> str:
        """Return a header of a model in which these registers are members of its bases, one for each width."""
        opening = f"struct {model} : public module {{\n"
        bases = "".join(f", public registers_{bits}" for bits in self._names)
        start, rest = header.split(opening)
        rest = _MEMBER.sub(lambda match: "" if match["name"] in self._all else match[0], rest)
        return start + _LOOP + "".join(map(self._base, self._names)) + opening.replace(" {", f"{bases} {{") + rest

    def _base(self, bits: int) -> str:
        """C++ of the structure with the registers of one width."""
        members = "".join(f"\twire<{bits}> {name};\n" for name in self._names[bits])
        size = f"sizeof(registers_{bits}) == {len(self._names[bits])} * sizeof(wire<{bits}>)"
        return f'struct registers_{bits} {{\n{members}}};\nstatic_assert({size}, "the registers do not lie side by side");\n\n'

    def calls(self) -> str:
        """C++ that commits the registers in the function ``commit``."""
        return "".join(
            f"\t\tchanged |= commit_registers<{bits}>(static_cast<registers_{bits} *>(this), {len(names)});\n"
            for bits, names in self._names.items()
        )

    def without(self, lines: str) -> str:
        """Return the lines of the function ``commit`` without those of these registers."""
        return _COMMITTED.sub(lambda match: "" if match["name"] in self._all else match[0], lines)
