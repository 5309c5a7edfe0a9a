"""Split the C++ of a large CXXRTL model into functions and files that compile in time proportional to their length.

CXXRTL writes the whole logic of a flattened module as one function, ``eval``, which has 50,000 lines for a core of 256 lanes, and the
optimiser of a C++ compiler needs time that grows with the square of a function's length. This module cuts the function between
statements and keeps their order. A local variable that two pieces share becomes a member of the model. ``commit``, which takes over the
next state of every register, becomes a loop over the registers of each width (:mod:`sim.engines.registers`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from sim.engines.equal_statements import EqualStatements, member_types
from sim.engines.registers import Registers

__all__ = ["PIECE_LINES", "SplitModel", "split_model", "without_zero_words"]

PIECE_LINES = 1_000
"""Number of lines in a piece of ``eval``. Near this length compile time per line is shortest and the model fastest."""

_SPLIT_LINES = 4_000
"""Number of lines from which ``eval`` is split. A shorter one compiles within seconds and stays as CXXRTL wrote it."""

_EQUAL_LINES = 16_000
"""Number of lines from which equal statements call one function, as for some 128 lanes: that compiles in a third of the time, and runs
slower by a third or more."""

_GROUP = 16
"""Number of calls in a chain of ``concat`` that are evaluated together; a chain of twice as many is divided into such groups."""

_EVAL = re.compile(r"^bool (?P<model>\w+)::eval\(performer \*performer\) \{\n(?P<body>.*?)^\}\n", re.MULTILINE | re.DOTALL)
_EVAL_DECLARED = "\tbool eval(performer *performer = nullptr) override;\n"
_CONVERGED = "\tbool converged = true;"
_RETURN = "\treturn converged;"
_EDGE = re.compile(r"\tbool (?P<name>(?:pos|neg)edge_\w+) = this->(?P=name)\(\);")
_LOCAL = re.compile(r"\tvalue<\d+> (?P<name>\w+);")
_TEMPORARY = re.compile(r"\tauto (?P<name>\w+) = .*;")
_CONCAT = ".concat("
_PARENTHESIS = re.compile(r"[()]")
_NAME = re.compile(r"[A-Za-z_]\w*")
_INITIAL_BLOCK = re.compile(r"^ *initial\b.*?^ *end\n", re.MULTILINE | re.DOTALL)
_ZERO_BLOCK = re.compile(
    r"^ *initial begin\n *(?P<memory>[A-Za-z_]\w*)\[0\] = \d+'h0+;\n(?: *(?P=memory)\[\d+\] = \d+'h0+;\n)* *end\n", re.MULTILINE
)
_COMMIT = re.compile(
    r"^\ttemplate<class ObserverT>\n\tbool commit\(ObserverT &observer\) \{\n\t\tbool changed = false;\n"
    r"(?P<lines>(?:\t\t(?:if \(\w+\.commit\(observer\)\) changed = true|prev_\w+ = \w+);\n)+)"
    r"\t\treturn changed;\n\t\}\n\n\tbool commit\(\) override \{\n\t\tobserver observer;\n\t\treturn commit<>\(observer\);\n\t\}\n",
    re.MULTILINE,
)
_INNER_NAME = re.compile(r'^\t\titems->add\(path, "[^"]* [^"]*", (?![^\n]* memory_)[^\n]*;\n', re.MULTILINE)
"""The line that tells the name of a variable within a module, other than a memory."""
_INITIAL = re.compile(
    r"^\tstatic const (?P<type>value<\d+>) (?P<table>\w+)\[(?P<depth>\d+)\] \{\n(?P<words>.*?)\n\t\};\n"
    r"\tstd::copy\(std::begin\((?P=table)\), std::end\((?P=table)\), (?P<to>&\w+\.data\[\d+\])\);\n",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class SplitModel:
    """The files of a model.

    Attributes
    ----------
    source, header : str
        The contents of ``model.cc`` and ``model.h``.
    parts : tuple of str
        The contents of further C++ files that belong to the model; empty if it is not split.
    """

    source: str
    header: str
    parts: tuple[str, ...] = ()


@dataclass
class _Statement:
    """A statement of ``eval``, with the comments above it.

    Attributes
    ----------
    lines : list of str
        Lines of the statement and of the comments above it.
    names : set of str
        Every identifier that occurs in the statement.
    """

    lines: list[str]
    names: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = {name for line in self.lines if not line.lstrip().startswith("//") for name in _NAME.findall(line)}


@dataclass
class _Body:
    """The parts of the function ``eval``.

    Attributes
    ----------
    edges, locals : dict of str to str
        The declaration of each clock edge and of each local variable, by name.
    statements : list of _Statement
        The statements, in order.
    """

    edges: dict[str, str]
    locals: dict[str, str]
    statements: list[_Statement]


def split_model(source: str, header: str, *, files: int) -> SplitModel:
    """Split a model, if it is large and has the form that CXXRTL gives a flattened module; else return it as it is.

    Parameters
    ----------
    source, header : str
        Contents of both files that ``write_cxxrtl -header`` wrote.
    files : int
        The number of files to divide the pieces among, at least 1.

    Returns
    -------
    SplitModel
        A model with the same behaviour.
    """
    source = _INITIAL.sub(_filled, source)
    found = list(_EVAL.finditer(source))
    if len(found) != 1 or header.count(_EVAL_DECLARED) != 1 or found[0]["body"].count("\n") < _SPLIT_LINES:
        return SplitModel(source, header)
    model = found[0]["model"]
    body = _parse(found[0]["body"])
    if body is None:
        return SplitModel(source, header)
    pieces = _pieces(body.statements)
    shared = _shared(body, pieces)
    if shared is None:
        return SplitModel(source, header)
    types = member_types(header) | {name: line.split()[0] for name, line in body.locals.items()} | dict.fromkeys(body.edges, "bool")
    many = found[0]["body"].count("\n") >= _EQUAL_LINES
    equal = EqualStatements([statement.lines for statement in body.statements] if many else [], types)
    names = [f"eval_piece_{number}" for number in range(len(pieces))]
    functions = [_function(model, name, piece, body, shared, equal) for name, piece in zip(names, pieces, strict=True)]
    members = [body.locals[name] for name in body.locals if name in shared]
    pieces_declared = [f"\tvoid {name}(performer *performer, bool &converged);" for name in names]
    calls = "".join(f"\t{name}(performer, converged);\n" for name in names)
    start, end = found[0].span("body")
    whole = source[:start] + f"{_CONVERGED}\n{calls}{_RETURN}\n" + source[end:]
    header, commits = _split_commit(model, header)
    declared = "".join(f"{line}\n" for line in [*members, *pieces_declared, *equal.declarations()])
    opening = '#include "model.h"\n\nusing namespace cxxrtl_yosys;\n\nnamespace cxxrtl_design {\n\n'
    written = [*functions, *commits, *equal.definitions(model, _grouped)]
    parts = tuple(opening + "\n".join(part) + "\n} // namespace cxxrtl_design\n" for part in _dealt(written, files))
    return SplitModel(_quickly_compiled(model, whole), header.replace(_EVAL_DECLARED, _EVAL_DECLARED + declared), parts)


def _split_commit(model: str, header: str) -> tuple[str, list[str]]:
    """A header whose function ``commit`` has loops for its registers and calls functions of :data:`PIECE_LINES` lines each for the rest,
    and these functions; or what was given."""
    found = _COMMIT.search(header)
    if found is None:
        return header, []
    registers = Registers(header, found["lines"])
    lines = registers.without(found["lines"]).splitlines(keepends=True)
    pieces = ["".join(lines[first : first + PIECE_LINES]) for first in range(0, len(lines), PIECE_LINES)]
    opening, closing = "\tobserver observer;\n\tbool changed = false;\n", "\treturn changed;\n}\n"
    functions = [f"bool {model}::commit_piece_{number}() {{\n{opening}{piece}{closing}" for number, piece in enumerate(pieces)]
    calls = "".join(f"\t\tchanged |= commit_piece_{number}();\n" for number in range(len(pieces)))
    declared = "".join(f"\tbool commit_piece_{number}();\n" for number in range(len(pieces)))
    whole = f"{declared}\tbool commit() override {{\n\t\tbool changed = false;\n{registers.calls()}{calls}\t\treturn changed;\n\t}}\n"
    return registers.moved(model, header[: found.start()] + whole + header[found.end() :]), functions


def _quickly_compiled(model: str, source: str) -> str:
    """A source whose functions that run once are not optimised, and whose names are those of its ports and memories alone."""
    source = _INNER_NAME.sub("", source)
    for name in ("reset", "debug_info"):
        source = source.replace(f"\nvoid {model}::{name}(", f'\n__attribute__((optimize("O0")))\nvoid {model}::{name}(', 1)
    return source


def without_zero_words(verilog: str) -> str:
    """Remove the initial words of memories in Verilog where all are zero, since CXXRTL initialises memories with zeros anyway.

    Yosys makes a cell for every initial word, and for a core with many lanes these are most of its input. Line numbers stay the same.
    """
    return "".join(_without_zero_words(module) for module in re.split(r"(?<=^endmodule\n)", verilog, flags=re.MULTILINE))


def _without_zero_words(module: str) -> str:
    """Remove the zero words of one module, as :func:`without_zero_words` does."""
    blocks = Counter(name for block in _INITIAL_BLOCK.findall(module) for name in set(_NAME.findall(block)))

    def emptied(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n") if blocks[match["memory"]] == 1 else match[0]

    return _ZERO_BLOCK.sub(emptied, module)


def _filled(match: re.Match[str]) -> str:
    """C++ that initialises a memory: a single fill instead of a table if all words are equal."""
    words = set(re.findall(rf"{re.escape(match['type'])}\{{[^}}]*\}}", match["words"]))
    if len(words) != 1:
        return match[0]
    return f"\tstd::fill_n({match['to']}, {match['depth']}, {words.pop()});\n"


def _parse(text: str) -> _Body | None:
    """Parse the body of ``eval``; return None if a line has an unknown form."""
    body = _Body({}, {}, [])
    statements: list[list[str]] = []
    comments: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("\t//"):
            comments.append(line)
            continue
        if line in (_CONVERGED, _RETURN):
            pass
        elif match := _EDGE.fullmatch(line):
            body.edges[match["name"]] = line
        elif match := _LOCAL.fullmatch(line):
            body.locals[match["name"]] = line
        elif (rest := _statement(line, lines)) is not None:
            statements.append([*comments, *rest])
        else:
            return None
        comments = []
    if not text.endswith(f"{_RETURN}\n"):
        return None
    body.statements = _joined([_Statement(each) for each in statements])
    return body


def _statement(first: str, lines: Iterator[str]) -> list[str] | None:
    """The lines of the statement that begins with ``first``; None if it is not one."""
    if not re.match(r"\t[A-Za-z_]", first):
        return None
    found = [first]
    if first.endswith(";"):
        return found
    if not (first.startswith(("\tif (", "\tif(")) and first.endswith("{")):
        return None
    for line in lines:
        found.append(line)
        if line == "\t}":
            return found
        if not line.startswith("\t\t") and line != "\t} else {":
            return None
    return None


def _grouped(line: str) -> str:
    """A line of C++ in which each long chain ``a.concat(b).concat(c)…`` is evaluated in groups of :data:`_GROUP`.

    A chain is one template expression, whose type grows with every link, so that the compiler's time grows with the square of its
    length at least.
    """
    found, position = "", 0
    while (start := line.find(_CONCAT, position)) >= 0:
        found += line[position:start]
        links, position = [], start
        while line.startswith(_CONCAT, position):
            end = _closing(line, position + len(_CONCAT))
            links.append(_grouped(line[position + len(_CONCAT) : end]))
            position = end + 1
        if len(links) < 2 * _GROUP or not all(map(_is_operand, links)):
            found += "".join(f"{_CONCAT}{link})" for link in links)
            continue
        groups = [links[first : first + _GROUP] for first in range(0, len(links), _GROUP)]
        inner = ["".join(f"{_CONCAT}{link})" for link in group[1:]) for group in groups]
        found += f"{_CONCAT}{groups[0][0]}){inner[0]}.val()"
        found += "".join(f"{_CONCAT}{group[0]}{rest}.val())" for group, rest in zip(groups[1:], inner[1:], strict=True))
    return found + line[position:]


def _is_operand(text: str) -> bool:
    """Whether an expression can stand before ``.concat`` without parentheses: CXXRTL writes a space around every operator."""
    depth = 0
    for character in text:
        depth += (character in "({") - (character in ")}")
        if character == " " and depth == 0:
            return False
    return text[:1].isalpha() or text[:1] in "_("


def _closing(line: str, position: int) -> int:
    """The index of the parenthesis that closes the one before ``position``."""
    depth = 1
    for match in _PARENTHESIS.finditer(line, position):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.start()
    raise ValueError(f"A parenthesis is not closed in {line[:200]}")


def _joined(statements: Sequence[_Statement]) -> list[_Statement]:
    """Join statements so that each temporary (``auto``) is in the same statement as all its uses."""
    last: dict[str, int] = {}
    for number, statement in enumerate(statements):
        last |= dict.fromkeys(statement.names, number)
    found: list[_Statement] = []
    until = -1
    for number, statement in enumerate(statements):
        if number <= until:
            found[-1].lines += statement.lines
            found[-1].names |= statement.names
        else:
            found.append(statement)
        for line in statement.lines:
            if match := _TEMPORARY.fullmatch(line):
                until = max(until, last[match["name"]])
    return found


def _pieces(statements: Sequence[_Statement]) -> list[list[_Statement]]:
    """The statements in groups of about :data:`PIECE_LINES` lines."""
    pieces: list[list[_Statement]] = []
    length = PIECE_LINES
    for statement in statements:
        if length >= PIECE_LINES:
            pieces.append([])
            length = 0
        pieces[-1].append(statement)
        length += len(statement.lines)
    return pieces


def _shared(body: _Body, pieces: Sequence[Sequence[_Statement]]) -> set[str] | None:
    """The local variables that several pieces use; None if one of them may be read before it is assigned."""
    first: dict[str, int] = {}
    shared: set[str] = set()
    for number, piece in enumerate(pieces):
        for statement in piece:
            for name in statement.names & body.locals.keys():
                if name not in first:
                    first[name] = number
                    if not any(re.match(rf"\t+{name}(?:\.slice<[\d,]+>\(\))? = ", line) for line in statement.lines):
                        return None
                elif first[name] != number:
                    shared.add(name)
    return shared


def _function(model: str, name: str, piece: Sequence[_Statement], body: _Body, shared: set[str], equal: EqualStatements) -> str:
    """C++ of a function that contains one piece of ``eval``."""
    used = set().union(*(statement.names for statement in piece))
    lines = [f"void {model}::{name}(performer *performer, bool &converged) {{"]
    lines += [line for edge, line in body.edges.items() if edge in used]
    lines += [line for local, line in body.locals.items() if local in used and local not in shared]
    lines += [_grouped(line) for statement in piece for line in equal.lines(statement.lines)]
    return "\n".join([*lines, "}", ""])


def _dealt(functions: Sequence[str], files: int) -> Iterator[list[str]]:
    """The functions in order, divided among files of about equal length."""
    total = sum(map(len, functions))
    done = 0
    placed = []
    for function in functions:
        placed.append((min(files - 1, files * done // total), function))
        done += len(function)
    for _, group in groupby(placed, key=lambda each: each[0]):
        yield [function for _, function in group]
