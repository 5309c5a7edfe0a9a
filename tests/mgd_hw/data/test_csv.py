"""The csv reader: tables that it reads, its guesses, warnings and refusals, and round trips of random tables."""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mgd_hw.data.csv import LABEL_NAMES, LARGEST_FILE, Table, read_csv
from mgd_hw.data.raw import Guess
from python_ref.spec.error import Refusal

DESIGN = Path("a.toml")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "d.csv"


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def guessed(table: Table) -> dict[str, str]:
    """Return the guessed values of a table by their subject, after checking that each guess names the key that overrides it."""
    keys = {"delimiter": "data.delimiter", "decimal mark": "data.decimal", "header": "data.header", "label": "data.label"}
    for guess in table.guesses:
        assert isinstance(guess, Guess)
        assert guess.key == keys[guess.what]
        assert guess.why
    assert len({guess.what for guess in table.guesses}) == len(table.guesses)
    return {guess.what: guess.value for guess in table.guesses}


# -- Tables that are read ---------------------------------------------------------------------------------------------

AB, C = ("a", "b"), ("c",)
ONE_TO_SIX = [[1, 2], [4, 5]], [3, 6]

READ: dict[str, tuple[str, dict[str, Any], tuple[str, ...], list[list[float]], tuple[str, ...], list[Any]]] = {
    "plain": ("a,b,c\n1,2,3\n4,5,6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "no end of line": ("a,b,c\n1,2,3\n4,5,6", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "cr lf": ("a,b,c\r\n1,2,3\r\n4,5,6\r\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "cr": ("a,b,c\r1,2,3\r4,5,6\r", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "blank lines": ("\n  \na,b,c\n\n1,2,3\n \t \n4,5,6\n\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "byte order mark": ("\ufeffa,b,c\n1,2,3\n4,5,6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "spaces around": (" a , b,c \n 1 , 2,3\n4 ,\t5 , 6 \n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "quoted": ('"a","b","c"\n"1", "2","3"\n4," 5 ",6\n', {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "tabs": ("a\tb\tc\n1\t2\t3\n4\t5\t6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "bars": ("a|b|c\n1|2|3\n4|5|6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "runs of spaces": ("  a b  c\n 1   2 3  \n4 5\t 6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "spaces and tabs": ("a b c\n1\t2 3\n4 5\t\t6\t\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "sep": ("sep=;\na;b;c\n1;2;3\n4;5;6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "sep, quoted, tab": ('"sep=\t"\r\na\tb\tc\r\n1\t2\t3\r\n4\t5\t6\r\n', {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "labels that begin comments": (
        "sep=;\n#;1;2\n%;3;4\n", {"label": 0, "header": False}, ("column 1", "column 2"), [[1, 2], [3, 4]], ("column 0",), ["#", "%"],
    ),
    "sep that cannot be one, and a key": ("sep=-\na;b;c\n1;2;3\n4;5;6\n", {"delimiter": ";"}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "times are not libsvm": ("1 2:3 3\n4 5:4 6\n", {"drop": (1,)}, ("column 0",), [[1], [4]], ("column 2",), [3, 6]),
    "a time is not libsvm": ("1 2:30\n4 5:40\n", {}, ("column 0",), [[1], [4]], ("column 1",), ["2:30", "5:40"]),
    "another delimiter": ("a:b:c\n1:2:3\n4:5:6\n", {"delimiter": ":"}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "trailing delimiter": ("a,b,c,\n1,2,3,\n4,5,6,\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "trailing delimiters, no header": (
        "1.5,2,3,,\n4,5,6,,\n", {}, ("column 0", "column 1"), [[1.5, 2], [4, 5]], ("column 2",), [3, 6],
    ),
    "trailing delimiter below": ("a,b,c\n1,2,3,\n4,5,6,\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "trailing delimiter above": ("a,b,c,\n1,2,3\n4,5,6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "row names": ('"a" "c"\n"1" 5.5 "x"\n"2" 6 "y"\n', {}, ("", "a"), [[1, 5.5], [2, 6]], C, ["x", "y"]),
    "row names and sodium": ("Na,K,c\n1,5.5,6,x\n2,6,7,y\n", {}, ("", "Na", "K"), [[1, 5.5, 6], [2, 6, 7]], C, ["x", "y"]),
    "numbers above row names": ("0 1\n0 5.5 6\n1 7 8\n", {}, ("", "0"), [[0, 5.5], [1, 7]], ("1",), [6, 8]),
    "comments": ("# by hand\n% in 1936\n\na,b,c\n1,2,3\n4,5,6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "comment between spaces": ("# b c\n1.5 2 3\n4 5 6\n", {}, ("column 0", "column 1"), [[1.5, 2], [4, 5]], ("column 2",), [3, 6]),
    "number sign as a name": ("#,b,c\n1,2,3\n4,5,6\n", {}, ("#", "b"), ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "numpy.savetxt": ("# a,b,c\n1,2,3\n4,5,6\n", {}, AB, ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "forms of numbers": (
        "a,b,c\n1e-3,-.5,1.\n+5, 007 ,1E+2\n18446744073709551616,4.9e-324,-0\n",
        {}, AB, [[1e-3, -0.5], [5, 7], [2.0**64, 5e-324]], C, [1, 100, 0],
    ),
    "decimal commas": ("a;b;c\n1,5;2;x\n-,5;3,25e1;y\n", {}, AB, [[1.5, 2], [-0.5, 32.5]], C, ["x", "y"]),
    "decimal commas in the label alone": ("a;b;c\n1;2;0,5\n3;4;1\n", {}, AB, [[1, 2], [3, 4]], C, [0.5, 1]),
    "decimal commas, two columns": ("5,1;x\n4,9;y\n", {}, ("column 0",), [[5.1], [4.9]], ("column 1",), ["x", "y"]),
    "decimal commas between spaces": ("1,5 2,5 3\n4,5 5 6\n", {}, ("column 0", "column 1"), [[1.5, 2.5], [4.5, 5]], ("column 2",), [3, 6]),
    "a comma in labels": ('a;b;c\n1.5;2;"x, y"\n4;5;z\n', {}, AB, [[1.5, 2], [4, 5]], C, ["x, y", "z"]),
    "labels with commas beside decimal points": ("a;b;c\n1.5;2;1,2\n4;5;z\n", {}, AB, [[1.5, 2], [4, 5]], C, ["1,2", "z"]),
    "delimiters and ends of lines in quotes": (
        'a,"b,\n2",c\n1,2,"x,\ny"\n4,5,"say ""z"""\n', {}, ("a", "b,\n2"), ONE_TO_SIX[0], C, ["x,\ny", 'say "z"'],
    ),
    "booleans": ("a,b,c\nTrue,1,no\nfalse,0,yes\n TRUE ,0,no\n", {}, AB, [[1, 1], [0, 0], [1, 0]], C, ["no", "yes", "no"]),
    "labels that are booleans": ("a,b,c\n1,2,True\n4,5,FALSE\n", {}, AB, ONE_TO_SIX[0], C, [True, False]),
    "labels that look missing": ("a,b,c\n1,2,NA\n4,5,None\n7,8,us\n", {}, AB, [[1, 2], [4, 5], [7, 8]], C, ["NA", "None", "us"]),
    "labels plus and minus": ("1.5,2,-\n4,5,+\n", {}, ("column 0", "column 1"), [[1.5, 2], [4, 5]], ("column 2",), ["-", "+"]),
    "labels ±1": ("1.5,2,-1\n4,5,+1\n", {}, ("column 0", "column 1"), [[1.5, 2], [4, 5]], ("column 2",), [-1, 1]),
    "labels of several kinds": ("a,b,c\n1,2,3\n4,5,x\n", {}, AB, ONE_TO_SIX[0], C, ["3", "x"]),
    "label by its name in the file": ("Label,b,c\n1,2,3\n4,5,6\n", {}, ("b", "c"), [[2, 3], [5, 6]], ("Label",), [1, 4]),
    "several usual names, one dropped": ("class,target,c\n1,2,3\n4,5,6\n", {"drop": (1,)}, C, [[3], [6]], ("class",), [1, 4]),
    "label and coordinates": ("label,x,y\n1,2,3\n4,5,6\n", {}, ("x", "y"), [[2, 3], [5, 6]], ("label",), [1, 4]),
    "class and coordinates": ("Y,Class,X\n1,2,3\n4,5,6\n", {}, ("Y", "X"), [[1, 3], [4, 6]], ("Class",), [2, 5]),
    "coordinates and the last": ("x,y,z\n1,2,3\n4,5,6\n", {}, ("x", "y"), ONE_TO_SIX[0], ("z",), ONE_TO_SIX[1]),
    "numbered coordinates and the last": ("x1,y,y1\n1,2,3\n4,5,6\n", {}, ("x1", "y"), ONE_TO_SIX[0], ("y1",), ONE_TO_SIX[1]),
    "y beside numbered inputs": ("x1,y,x2\n1,2,3\n4,5,6\n", {}, ("x1", "x2"), [[1, 3], [4, 6]], ("y",), [2, 5]),
    "y of x": ("y,x\n1,2\n3,4\n", {}, ("x",), [[2], [4]], ("y",), [1, 3]),
    "y of x, others dropped": ("y,t,x\n1,2,2\n3,4,4\n", {"drop": ("t",)}, ("x",), [[2], [4]], ("y",), [1, 3]),
    "Titanic": ("PassengerId,Survived,Age\n7,0,22\n9,1,38\n", {}, ("PassengerId", "Age"), [[7, 22], [9, 38]], ("Survived",), [0, 1]),
    "usual name dropped": ("class,b,c\n1,2,3\n4,5,6\n", {"drop": ("class",)}, ("b",), [[2], [5]], C, [3, 6]),
    "last dropped": ("a,b,c\n1,2,3\n4,5,6\n", {"drop": (-1,)}, ("a",), [[1], [4]], ("b",), [2, 5]),
    "dropped words": ("a,s,c\n1,male,3\n4,,6\n", {"drop": ("s",)}, ("a",), [[1], [4]], C, [3, 6]),
    "label by name": ("a,b,c\n1,2,3\n4,5,6\n", {"label": "a"}, ("b", "c"), [[2, 3], [5, 6]], ("a",), [1, 4]),
    "label by number": ("a,b,c\n1,2,3\n4,5,6\n", {"label": -3}, ("b", "c"), [[2, 3], [5, 6]], ("a",), [1, 4]),
    "a name that is a number": ("2,1,0\n1,2,3\n4,5,6\n", {"label": "2", "header": True}, ("1", "0"), [[2, 3], [5, 6]], ("2",), [1, 4]),
    "same names, not asked for": ("a,a,c\n1,2,3\n4,5,6\n", {"label": "c"}, ("a", "a"), ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "several labels": ("a,b,c\n1,2,3\n4,5,6\n", {"label": ("c", "a")}, ("b",), [[2], [5]], ("c", "a"), [[3, 1], [6, 4]]),
    "several labels, some words": (
        "a,b,c\n01,2,x\n4,5,y\n", {"label": ("c", "a")}, ("b",), [[2], [5]], ("c", "a"), [["x", "01"], ["y", "4"]],
    ),
    "counting header": ("0,1,2\n5.5,6,0\n7,8,1\n", {}, ("0", "1"), [[5.5, 6], [7, 8]], ("2",), [0, 1]),
    "counting header from 1": ("1,2,3\n9,6,0\n7,8,1\n", {}, ("1", "2"), [[9, 6], [7, 8]], ("3",), [0, 1]),
    "counting header and index": (",0,1\n0,1,0\n1,0,1\n", {}, ("", "0"), [[0, 1], [1, 0]], ("1",), [0, 1]),
    "counting header and a word": ("0,1,2,kind\n5,6,7,x\n8,9,8,x\n", {}, ("0", "1", "2"), [[5, 6, 7], [8, 9, 8]], ("kind",), ["x", "x"]),
    "counting sample and a word": (
        "0,1,2,x\n5,6,7,x\n", {}, ("column 0", "column 1", "column 2"), [[0, 1, 2], [5, 6, 7]], ("column 3",), ["x", "x"],
    ),
    "header of numbers and label": ("400,410,Class\n5,6,x\n7,8,y\n", {}, ("400", "410"), [[5, 6], [7, 8]], ("Class",), ["x", "y"]),
    "header with a number among words": ("a,2,c\n1,2,3\n4,5,6\n", {}, ("a", "2"), ONE_TO_SIX[0], C, ONE_TO_SIX[1]),
    "header above missing values": ("a,b,c\n?,2,3\n4,5,6\n", {"drop": ("a",)}, ("b",), [[2], [5]], C, [3, 6]),
    "no header, first value missing": ("?,2,3\n4,5,6\n", {"drop": (0,)}, ("column 1",), [[2], [5]], ("column 2",), [3, 6]),
    "no header above words": ("1,2,x\n4,5,y\n", {}, ("column 0", "column 1"), ONE_TO_SIX[0], ("column 2",), ["x", "y"]),
    "no header above booleans": ("1,2,True\n4,5,False\n", {}, ("column 0", "column 1"), ONE_TO_SIX[0], ("column 2",), [True, False]),
    "one sample": ("1,2,x\n", {}, ("column 0", "column 1"), [[1, 2]], ("column 2",), ["x"]),
    "all words but one column": ("a,c\n1,x\n2,y\n", {}, ("a",), [[1], [2]], C, ["x", "y"]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_what_is_read(path: Path, name: str) -> None:
    text, options, names, inputs, answer_names, answers = READ[name]
    table = read_csv(written(path, text), design_file=DESIGN, **options)
    assert table.path == path
    assert (table.names, table.inputs.tolist(), table.answer_names) == (names, inputs, answer_names)
    assert table.inputs.dtype == np.float64
    assert table.answers.tolist() == answers
    kind = type(np.ravel(np.array(answers, dtype=object))[0])
    assert table.answers.dtype.kind == {bool: "b", int: "f", float: "f", str: "U"}[kind]
    assert table.lines.dtype == np.int64
    assert len(table.lines) == len(inputs)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"])
def test_encodings(path: Path, encoding: str) -> None:
    text = "a\tb\tgröße\n1\t2\t東\n4\t5\tß𝄞\n"
    data = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)
    table = read_csv(written(path, data))
    assert table.names + table.answer_names == ("a", "b", "größe")
    assert table.answers.tolist() == ["東", "ß𝄞"]


LINES = {
    "a,b\n1,2\n3,4\n": [2, 3],
    "1.5,2\n3,4\n": [1, 2],
    "sep=,\n\na,b\r\n\r\n1,2\r\n\r\n3,4": [5, 7],
    "a,b\r1,2\r\r3,4\r": [2, 4],
    '# x\n"a\nb",c\n1,"x\n\ny"\n2,z\n3,w': [4, 7, 8],
    "# x\n  \n# y\n1.5 2\n \n3 4 \n": [4, 6],
}


@pytest.mark.parametrize("text", LINES)
def test_lines(path: Path, text: str) -> None:
    assert read_csv(written(path, text)).lines.tolist() == LINES[text]


def test_every_number_is_the_nearest_float64(path: Path) -> None:
    generator = np.random.default_rng(5)
    bits = generator.integers(0, 1 << 63, size=20000, dtype=np.uint64).view(np.float64)
    values = bits[np.isfinite(bits)].tolist()
    for mark in ".,":
        rows = "".join(f"{value!r};1\n".replace(".", mark) for value in values)
        assert read_csv(written(path, rows), decimal=mark).inputs[:, 0].tolist() == values


# -- Guesses ----------------------------------------------------------------------------------------------------------

GUESSED: dict[str, dict[str, str]] = {
    "a,b,c\n1,2,3\n4,5,6\n": {"header": 'line 1 ("a", "b", "c")', "label": 'column 2 ("c")'},
    "1.5,2,3\n4,5,6\n": {"header": "none", "label": "column 2"},
    "\na;SPECIES;c\n1,5;x;3\n": {
        "delimiter": "semicolon", "header": 'line 2 ("a", "SPECIES", "c")', "label": 'column 1 ("SPECIES")', "decimal mark": "comma",
    },
    "sep=;\na;c\n1;3\n": {"header": 'line 2 ("a", "c")', "label": 'column 1 ("c")'},
    "0\t1\t2\t3\t4\n5\t6\t7\t8\t9.5\n": {"delimiter": "tab", "header": 'line 1 ("0", "1", "2", "3", …)', "label": 'column 4 ("4")'},
    "1 2 x\n4 5 y\n": {"delimiter": "spaces", "header": "none", "label": "column 2"},
    "1|2|x\n4|5|y\n": {"delimiter": "vertical bar", "header": "none", "label": "column 2"},
}  # fmt: skip


@pytest.mark.parametrize("text", GUESSED)
def test_guesses(path: Path, text: str) -> None:
    assert guessed(read_csv(written(path, text))) == GUESSED[text]


def test_what_is_said_is_not_guessed(path: Path) -> None:
    table = read_csv(written(path, "a;b\n1,5;2\n"), label=1, header=True, delimiter=";", decimal=",")
    assert table.guesses == ()
    assert table.inputs.tolist() == [[1.5]]


@pytest.mark.parametrize("name", sorted(LABEL_NAMES))
def test_usual_names_of_a_label(path: Path, name: str) -> None:
    assert read_csv(written(path, f" {name.title()} ,a,b\n1,2,3\n")).answer_names == (name.title(),)


def test_the_key_decides_otherwise(path: Path) -> None:
    written(path, "0,1,2\n5,6,7\n")
    assert read_csv(path).inputs.tolist() == [[5, 6]]
    assert read_csv(path, header=False).inputs.tolist() == [[0, 1], [5, 6]]
    written(path, "a;b\n1,234;x\n")
    assert read_csv(path).inputs.tolist() == [[1.234]]
    with pytest.raises(Refusal, match=r'd\.csv: column 0 \("a"\) holds numbers with thousands separators, such as "1,234" in line 2\. '):
        read_csv(path, decimal=".")


@pytest.mark.parametrize(("drop", "label"), [((), "area"), (("area",), "price"), (("area", "price"), "other")])
def test_an_index_is_not_guessed_to_be_the_label(path: Path, drop: tuple[str, ...], label: str) -> None:
    rows = "".join(f"{n * n % 7}.5,{n * 3},{n % 5},{n + 1},{n}\n" for n in range(12))
    table = read_csv(written(path, f"other,price,area,id,row\n{rows}"), drop=drop)
    assert table.answer_names == (label,)
    assert table.index_columns == ("id", "row")
    guess = next(guess for guess in table.guesses if guess.what == "label")
    assert guess.why == "it is the last that does not look like an index, and no column has a usual name of a label"


# -- Warnings ---------------------------------------------------------------------------------------------------------

COUNTING = "".join(f"{n},{n * n % 7}.5,w\n" for n in range(12))
IDS = "".join(f"{n * 37 % 101},{n * n % 7}.5,w\n" for n in range(12))
AREAS = "".join(f"{n * n % 7}.5,w,{n}\n" for n in range(12))
BOTH = "".join(f"{n},{n + 1}\n" for n in range(12))
ORDINARY = "".join(f"{n * 7 % 10},{n * n % 7}.5,{n * 3 % 5},{n % 2}\n" for n in range(20))
WORDED = ORDINARY.replace(",0\n", ",v\n").replace(",1\n", ",w\n")
OF_ONE = COUNTING.replace("0,0.5,w\n", "", 1)

WARNED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a,b,c\n1,2,3\n", {}, []),
    (f",a,label\n{COUNTING}", {}, [r"Column 0, which has no name, counts up from 0 like an index, .* write drop = \[0\] in \[data\]\."]),
    (f"n,a,label\n{OF_ONE}", {}, [r'Column 0 \("n"\) counts up from 1 like an index, .* write drop = \["n"\] in \[data\]\.']),
    (f"n,n,label\n{OF_ONE}", {}, [r'Column 0 \("n"\) counts up from 1 .* write drop = \[0\] in \[data\]\.']),
    (f"Id,a,label\n{IDS}", {}, [r'Column 0 \("Id"\) holds another whole number in every line .* drop = \["Id"\] in .*']),
    (f"n,a,label\n{IDS}", {}, []),
    (COUNTING, {}, [r"Column 0 counts up from 0 .* write drop = \[0\] in .*"]),
    (f"n,m,a,label\n{COUNTING.replace(',w', ',7,w')}", {"drop": ("m",)}, [r'.* write drop = \["m", "n"\] in .*']),
    (f"n,m,a,label\n{COUNTING.replace(',w', ',7,w')}", {"drop": ("m", "m")}, [r'.* write drop = \["m", "n"\] in .*']),
    (f"n,a,label\n{COUNTING}", {"drop": ("n",)}, []),
    (f"n,a,label\n{COUNTING}", {"label": "n", "drop": ("label",)}, []),
    ("".join(f"{n},2.5,w\n" for n in range(9)), {}, []),
    (f"a label\n{COUNTING.replace(',', ' ')}", {}, [r"The header has one cell fewer than .* Leave it out with drop = \[0\] in \[data\]\."]),
    (f"a label\n{COUNTING.replace(',', ' ')}", {"drop": (0,)}, []),
    (f"a label\n{COUNTING.replace(',', ' ')}", {"drop": ("",)}, []),
    (f"a b\n{COUNTING.replace(',w', ' 7').replace(',', ' ')}", {"label": 0}, []),
    ("a,b,\n1,2,\n", {}, [r"Lines end with a delimiter, after which no cell follows; no column is made of it\."]),
    ("a,b\n1,2,\n", {}, [r"Lines below the header end with a delimiter, .*"]),
    ("a,b,\n1,2\n", {}, [r"The header ends with a delimiter, .*"]),
    ("# x\na,b\n1,2\n", {}, [r"Line 1 begins with # and is skipped as a comment\."]),
    ("sep=,\n% x\n\n# x, y, z\na,b\n1,2\n", {}, [r"2 lines, 2 to 4, begin with # or % and are skipped as comments\."]),
    ("label,b,c\n1,2,3\n", {"label": "c"}, [r'Column 0 \("label"\) has a usual name of a label, and is a feature here\.']),
    ("label,b,c\n1,2,3\n", {"label": "c", "drop": (0,)}, []),
    ("a,b,label\nTrue,2,3\nfalse,2,3\n", {}, [r'Column 0 \("a"\) holds booleans, read as 1 for true and 0 for false\.']),
    (
        f"a,s,n\n{AREAS}",
        {"drop": ("s",)},
        [
            r'Column 2 \("n"\), the last, counts up from 0 like an index, and is not taken for the label; column 0 \("a"\) is\. '
            r'If it is the label, write label = "n" in \[data\]\.',
            r'Column 2 \("n"\) counts up from 0 like an index, and is a feature here\. .* write drop = \["s", "n"\] in \[data\]\.',
        ],
    ),
    (
        f"a,s,ID\n{AREAS.replace('w,', 'w,5')}",
        {"drop": (1,)},
        [r'Column 2 \("ID"\), the last, holds another whole number in every line like an index, and is not taken .*', r".*"],
    ),
    (f"a,s,n\n{AREAS}", {"label": "n", "drop": ("s",)}, []),
    (
        f"n,m\n{BOTH}",
        {},
        [
            r'Column 1 \("m"\), the last, counts up from 1 like an index, and is taken for the label all the same\. Name another column .*',
            r'Column 0 \("n"\) counts up from 0 .*',
        ],
    ),
    ("1,Aa,1,x,5\n1,2,3,y,6\n", {"drop": (3,)}, [r"Line 1 is taken for the header, though it holds numbers \(1, 1, 5\)\."]),
    ("5,7,9\n1,2,3\n", {"header": True}, [r"Line 1, which data\.header makes the header, holds numbers alone\."]),
    ("0,1,2\n1,2,3\n", {"header": False}, [r"Line 1 counts 0, 1, 2 like a header of numbers; data\.header = false makes it a sample\."]),
    ("a,b\n1,x\n2,NA\n3,NA\n", {}, [r'The label "NA" in column 1 \("b"\) is taken for a class \(2 samples\)\.']),
    ("a,b\n1,x\n2,1\n", {}, [r'The labels in column 1 \("b"\) are of several kinds, .*']),
    (
        'a,b\n1,"1,000"\n2,"2,000"\n',
        {},
        [
            r'The labels in column 1 \("b"\) look like numbers with thousands separators, such as "1,000", and are taken for classes\. '
            r'If they are numbers, write 1000 rather than "1,000", and all others alike\.'
        ],
    ),
    ("a,b\n1,500\n2,−1\n", {}, [r'The labels in column 1 \("b"\) look like numbers with Unicode minus signs, such as "−1", .*']),
    ("a,b\n1,5%\n2,x\n", {}, []),
    (
        "a,b\n1,Yes\n2,yes\n3,no\n",
        {},
        [r'Classes in column 1 \("b"\) differ only in case, white space or surrounding punctuation: "Yes" and "yes"\. Spell them alike .*'],
    ),
    ("a,b\n1,>50K\n2,<=50K\n3,>50K.\n4,<=50K.\n5,A+\n6,A-\n", {}, [r'.*: "<=50K" and "<=50K\."; ">50K" and ">50K\."\. .*']),
    ("a,b\n1,New  York\n2,(new york)\n3,NEW YORK\n4,York\n", {}, [r'.*: "\(new york\)" and "NEW YORK" and "New  York"\. .*']),
    ("a,b\n1,.\n2,:\n3,x\n", {}, [r'The label "\." in .* is taken for a class .*']),
    (
        "a,b,c\n" + "".join(f"1,{w}{n},{n}\n" for n in range(5) for w in "zZ"),
        {"label": ("c", "b")},
        [r'Classes in column 1 .*: "Z0" and "z0"; "Z1" and "z1"; "Z2" and "z2"; "Z3" and "z3"; …\. .*'],
    ),
    ("a,b\n1,True\n2,TRUE\n3,false\n", {}, []),
    ("a,b\n1,1.\n2,1\n3,1\n", {}, []),
    *(
        (
            f"{first}\n{ORDINARY}",
            {},
            [rf"The numbers {numbers} in line 1 {how}, so that the line may be a header\. If it is one, write header = true in \[data\]\."],
        )
        for first, numbers, how in [
            ("400,410,420,430", "400, 410, 420, 430", "lie far outside the numbers below them"),
            ("2001,2002,2003,2004", "2001, 2002, 2003, 2004", "lie far outside the numbers below them"),
            ("400,470,999,1", "400, 470, 999, 1", "lie far outside the numbers below them"),
            ("1.5,2.25,3,3.75", r"1\.5, 2\.25, 3, 3\.75", "rise evenly, unlike those of the lines below"),
            ("4.5,3.25,2,0.75", r"4\.5, 3\.25, 2, 0\.75", "fall evenly, unlike those of the lines below"),
        ]
    ),
    *((f"{first}\n{ORDINARY}", {}, []) for first in ("9,1,4,8", "99,88,3,1", "2,2,2,2", "1,1.1,1.3,1.4")),
    (f"400,410,420,kind\n{WORDED}", {}, [r"The numbers 400, 410, 420 in line 1 lie far outside the numbers below them, .*"]),
    (f"2.5,3,3.5,w\n{WORDED}", {}, []),
    *((f"{first}\n{ORDINARY}", {}, []) for first in ("10,8,5,2", "2.25,2.25,2.25,2.25")),
    ("99,v\n1,v\n2,w\n3,v\n4,w\n", {}, []),
    ("5,6,8,0\n" + "4,5,7,0\n" * 5, {}, []),
    ("6.5,7\n1,1\n4,4\n9,9\n2,2\n", {}, []),
    (f"400,410,420,5\n{WORDED}", {}, [r"The numbers 400, 410, 420, 5 in line 1 lie far .*", r"The labels in .* of several kinds, .*"]),
    (f"400,410,420,430\n?,?,3,1\n{ORDINARY}", {"drop": (0, 1)}, [r"The numbers 400, 410, 420, 430 in line 1 lie far .*"]),
    (f"6,7,8,9\n{ORDINARY}6,7,8,9\n", {}, []),
    (f"1.5,2.25,3,3.75\n{ORDINARY}.2,.3,.4,.5\n", {}, []),
    ("5,6,7\n1,9,2\n1,9,3\n1,9,5\n1,9,8\n", {}, [r".* rise evenly, .*"]),
    ("5,6,7\n5,9,2\n1,6,3\n1,9,5\n1,9,7\n", {}, []),
    ("400,410,420\n1,9,2\n1,9,3\n1,8,5\n", {}, []),
    (f"400,410,420,430\n{ORDINARY}", {"header": True}, []),
    (f"400,410,420,430\n{ORDINARY}", {"header": False}, []),
    (f"9,1,4,8\n{ORDINARY}", {"header": True}, [r"Line 1, which data\.header makes the header, holds numbers alone\."]),
    (
        "40,5;41,5;1e999;7\n0,5;1,5;1;1\n1;1,25;2;2\n0;2;3;1\n0;1;3;3\n",
        {"drop": (2,)},
        [r"The numbers 40,5, 41,5, 1e999, 7 in line 1 lie far outside .*"],
    ),
    (
        "a;b;c\n1,234;x;2\n-12,500;y;17\n",
        {"drop": ("b",)},
        [
            r"All numbers with a comma have three digits after it, such as 1,234 in line 2, which is read as 1\.234\. If the commas "
            r'separate thousands, remove them from the file, and write decimal = "\." in \[data\]; if they are decimal '
            r'marks, write decimal = ","\.'
        ],
    ),
    ("a;b\n2;1,234\n1;3,000\n", {}, [r"All numbers with a comma have three digits after it, such as 1,234 in line 2, .*"]),
    ("a;b\n1,234;x\n-12,500;y\n", {"decimal": ","}, []),
    ("a;b\n1,234;x\n12,5;y\n", {}, []),
    ("a;b\n1,234;2\n0,500;3,5\n", {}, []),
    ("a;b\n1,234;x\n0,500;y\n", {}, []),
    ("a;b\n1234,567;x\n2,500;y\n", {}, []),
    ("a,b\n1,True\n2,1\n", {}, [r'The labels in column 1 \("b"\) are of several kinds, .*']),
]


@pytest.mark.parametrize(("text", "options", "warnings"), WARNED)
def test_warnings(path: Path, text: str, options: dict[str, Any], warnings: list[str]) -> None:
    found = read_csv(written(path, text), **options).warnings
    assert len(found) == len(warnings), found
    for warning, pattern in zip(found, warnings, strict=True):
        assert re.fullmatch(pattern, warning), warning


# -- Refusals ---------------------------------------------------------------------------------------------------------

ABC = "a,b,c\n1,2,3\n4,5,6\n"
COLORS = "red,1.5,0\nblue,2,1\nred,3,1\n"
FOREIGN = [
    ("1,000", "thousands separators", "1000"),
    ("-12,345,678.5", "thousands separators", "-12345678.5"),
    ("1,00,000", "thousands separators", "100000"),
    ("1.000.000", "thousands separators", "1000000"),
    ("1 000", "thousands separators", "1000"),
    ("1\u202f000", "thousands separators", "1000"),
    ("1'000.25", "thousands separators", "1000.25"),
    ("1_000", "thousands separators", "1000"),
    ("0%", "percent signs", "0"),
    ("2.5 %", "percent signs", "2.5"),
    ("−0", "Unicode minus signs", "-0"),
    ("–.5", "Unicode minus signs", "-.5"),
    ("€ 5", "currency signs", "5"),
    ("-$5", "currency signs", "-5"),
    ("−$1,000", "Unicode minus signs and currency signs and thousands separators", "-1000"),
]
REFUSED: list[tuple[str | bytes, dict[str, Any], str]] = [
    # Not a table
    ("", {}, r"D: it holds no samples\. Give one line per sample: .*"),
    (" \n\n", {}, r"D: it holds no samples\. .*"),
    ("sep=;\n", {}, r"D: it holds no samples\. .*"),
    ("a,b,c\n", {}, r"D: it holds a header and no samples\. .*"),
    ("1,2,3\n", {"header": True}, r"D: it holds a header and no samples\. .*"),
    ("1\n2\n", {}, r"D: it has one column\. .* name the delimiter \(data\.delimiter\)\."),
    ("a,\n1,\n", {}, r"D: it has one column\. .*"),
    ("a;b\n1;2\n", {"delimiter": "|"}, r"D: it has one column\. .*"),
    (b"a,b\n1,2\n\xff,2\n", {}, r"D: line 3 is not UTF-8 text\. Save the file as UTF-8\."),
    ("a,b\r\n1,é\r\n".encode("latin-1"), {}, r"D: line 2 is not UTF-8 text\. .*"),
    (b"a,b\r1,2\r\n3,4\n\xff,2\r", {}, r"D: line 4 is not UTF-8 text\. .*"),
    (b"\xff\xfe" + "a\tb\n1\t2\n".encode("utf-16-le") + b"\x00\xd8", {}, r"D: line 3 is not UTF-16 text\. .*"),
    ("a,b\n".encode("utf-32"), {}, r"D: it is UTF-32 text\. .*"),
    (b"a,b\n1,\0\n", {}, r"D: line 2 holds a NUL byte, so it is not a text file\. .*"),
    (b"a,b\r1,2\r\n3,4\n1,\0\r", {}, r"D: line 4 holds a NUL byte, .*"),
    ("a,b\n1,2\n".encode("utf-16-le"), {}, r"D: line 1 holds a NUL byte, .*"),
    (b"PK\x03\x04\x14\0", {}, r"D: it is a zip archive or an Excel workbook, not a text file\. Save or export the table as csv\."),
    (b"\x1f\x8b\x08", {}, r"D: it is compressed by gzip, not a text file\. .*"),
    ("% iris\n\n@RELATION iris\n@ATTRIBUTE a REAL\n", {}, r"D: it is an ARFF file \(@relation iris\)\. Save it as csv, .*"),
    ("<!DOCTYPE html>\n<html>\n", {}, r"D: it is a page in HTML or XML, not a table\. .*"),
    ('{"a": [1, 2]}\n', {}, r"D: it is JSON, not a table\. .*"),
    *((f"sep={said}\na{said}b\n", {}, rf"D: line 1 names the delimiter {shown}, which cannot stand between cells\. .* sep=;.*")
      for said, shown in (("é", '"é"'), ('"', r'"\\""'), ("x", '"x"'), ("1", '"1"'), ("-", '"-"'), (".", r'"\."'), ("\u3000", '"\u3000"'))),
    *((f"{lead}1:0.5 2:0.3{tail}\n1 2:1e-3\n", {},
       r"D: it is a file in libsvm format, with pairs of index and value\. Load it with sklearn\.datasets\.load_svmlight_file, and .*")
      for lead, tail in (("", ""), ("+1 ", ""), ("-1.5\t", " "), ("1,3 ", " 7:-1"), ("2 qid:4 ", " # x"))),
    # Rows
    ("1,2,0\n5,6,7\n3,4\n", {}, r"D: line 3 has 2 cells, the other lines 3\. Give every line the same number of cells, .*"),
    ("a,b,c\n1,2,3\n\n4,5,6,7\n8,9,0\n", {}, r"D: line 4 has 4 cells, the other lines 3\. .*"),
    ("a,b,c\n1,2,3\n4\n8,9,0\n", {}, r"D: line 3 has 1 cell, the other lines 3\. .*"),
    ('a,b,c\n1,2,3\n""\n8,9,0\n', {}, r"D: line 3 has 1 cell, the other lines 3\. .*"),
    ('1,2,0\n"3,4,2\n5,6,7\n', {}, r"D: lines 2 to 3, which quotes make one row, have 1 cell, the other lines 3\. .*"),
    ('a,b\n1,2\n"5,6\n\n', {}, r"D: lines 3 to 4, which quotes make one row, have 1 cell, the other lines 2\. .*"),
    ('"a\n\n', {"delimiter": ","}, r"D: it holds a header and no samples\. .*"),
    ('a,b\n1,2\n3,"4\n5,6\n', {}, r"D: the row at line 3 has a quoted cell that does not end\. Close the quotes\."),
    ('a,b\n1,2\n\n3,"' + "4\n" * 70000, {}, r"D: the row after the one at line 2 cannot be read \(field larger than .*\)\. Close .*"),
    ('a,b\n1,"' + "4,5\n" * 70000, {}, r"D: the row after the one at line 1 cannot be read .*"),
    ('"' + "4,5\n" * 70000, {}, r"D: it has one column\. .*"),
    ('"' + "4,5\n" * 70000, {"delimiter": ","}, r"D: the first row cannot be read .*"),
    ("1,2,3,4\n1,2,3\n4,5,6\n", {}, r"D: line 1 has 4 cells, the other lines 3\. .*"),
    ("1,2\n1,2,3\n4,5,6\n", {}, r"D: line 1 has 2 cells, the other lines 3\. .*"),
    ("a,b\n1,2,3\n4,5,6\n", {"header": False}, r"D: line 1 has 2 cells, the other lines 3\. .*"),
    ("a,b\n1,2,3,4\n4,5,6,7\n", {}, r"D: line 1 has 2 cells, the other lines 4\. .*"),
    ("a,b,c\n1,2,3\n# x\n", {}, r"D: line 3 has 1 cell, the other lines 3\. .*"),
    # Cells
    ("a,b,c\n1,2,3\n4,,6\n", {}, r'D: line 3, column 1 \("b"\): the value is missing\. Fill it in, .* drop = \["b"\] in \[data\]\.'),
    ("1.5,2,x\r\r,5,y\r", {}, r"D: line 3, column 0: the value is missing\. .*"),
    ("1.5,2,3\n4,,6\n", {}, r"D: line 2, column 1: the value is missing\. .* drop = \[1\] in \[data\]\."),
    *((f"a,b,c\n1,2,3\n4,{word},6\n", {}, rf'D: line 3, column 1 \("b"\): the value is missing \("{re.escape(word)}"\)\. .*')
      for word in ("NA", "nan", "NULL", "None", "?", "-", "N/A")),
    ("a,b,c\n1,True,3\n4,,6\n", {}, r'D: line 3, column 1 \("b"\): the value is missing\. .*'),
    ("a,b,c\n1,True,3\n4,5,6\n5,6,7\n", {}, r'D: line 2, column 1 \("b"\): the value is not a number: "True"\. .*'),
    *((f"a,b,c\n1,2,3\n4,{word},6\n", {}, rf'D: line 3, column 1 \("b"\): the value is infinite or too large .* \({shown}\)\. .*')
      for word, shown in (("inf", "inf"), ("-Infinity", "-inf"), ("1e999", "inf"), ("9" * 400, "inf"))),
    *((f'a,b,c\n1,2,3\n7,8,9\n4,"{word}",6\n', {}, rf'D: line 4, column 1 \("b"\): the value is not a number: "{re.escape(word)}"\. .*')
      for word in ("x", "1_0", "0x10", "1,000", "１２", "1 000", "5%", "--5", "1e", "1.2.3", "2020-01-01")),
    ("a;b;c\n1,5;1.234,5;3\n4;5;6\n4;5;6\n", {},
     r'D: line 2, column 1 .*: the value is not a number: "1\.234,5"\. Write 1234,5 instead, without .*'),
    ("a,s,t,c\n1,male,u,3\n4,female,v,6\n", {"drop": ()},
     r'D: column 1 \("s"\) holds words, such as "male" in line 2, and so does column 2 \("t"\)\. .* drop = \["s", "t"\] in .*'),
    # Columns of words, one of which may be the label
    (f"color,a,b\n{COLORS}", {},
     r'D: column 0 \("color"\) holds words, such as "red" in line 2\. If a column of words is the label, rather than column 2 \("b"\), '
     r'write label = "color" in \[data\]\. Leave out columns of words with drop = \["color"\] in \[data\], or encode them as numbers\.'),
    (COLORS, {}, r"D: column 0 holds words, .* rather than column 2, write label = 0 in .* with drop = \[0\] in .*"),
    (f"color,a,b\n{COLORS}", {"label": "b"}, r'D: column 0 \("color"\) holds words, such as "red" in line 2\. Leave out .*'),
    (f"color,a,label\n{COLORS}", {}, r'D: column 0 \("color"\) holds words, such as "red" in line 2\. Leave out .*'),
    (f"color,a,b\n{COLORS}".replace("1\n", "x\n"), {}, r'D: column 0 \("color"\) holds words, such as "red" in line 2\. Leave out .*'),
    ("name,s,c\na,u,1\nb,u,2\nc,v,3\n", {},
     r'D: column 0 .*, and so does column 1 \("s"\)\. .* write label = "s" in .* drop = \["name", "s"\] .*'),
    ("name,s,c\na,1,1\nb,2,2\nc,3,3\n", {}, r'D: column 0 \("name"\) holds words, such as "a" in line 2\. Leave out .*'),
    # Columns of numbers in a foreign form
    *((f'a;s;label\n0.5;"{cell}";u\n0.5;"{cell}";v\n', {"decimal": "."},
       rf'D: column 1 \("s"\) holds numbers with {what}, such as "{re.escape(cell)}" in line 2\. '
       rf'Write {re.escape(plain)} rather than "{re.escape(cell)}", and all others alike, or leave out .* drop = \["s"\] in \[data\]\.')
      for cell, what, plain in FOREIGN),
    ('a,s,label\n1.5,"1,5",u\n1,"2,25",v\n', {},
     r'D: column 1 .* holds numbers with decimal commas, such as "1,5" in line 2\. Write 1\.5 .*'),
    ("a;s;label\n1;1.234,5;u\n1;2.000,5;v\n2,5;3;w\n", {"decimal": ","},
     r'D: column 1 .* holds numbers with thousands separators, such as "1\.234,5" in line 2\. Write 1234,5 rather than .*'),
    ("a;s;label\n1,5;8.5;u\n", {"decimal": ","}, r"D: column 1 .* holds numbers with decimal points, such as .* Write 8,5 rather than .*"),
    ("a,s,t,u,label\n1,5%,x,6%,v\n2,0%,y,7%,w\n", {},
     r'D: column 1 .* percent signs, .*, and so does column 3 \("u"\)\. .* drop = \["s", "u"\] .*'),
    ("a,s,label\n1,5%,u\n2,many%,v\n", {}, r'D: column 1 \("s"\) holds words, such as "5%" in line 2\. .*'),
    ("a,b,label\n1,2,x\n1,3,x\n4,−5,y\n", {},
     r'D: line 4, column 1 .*: the value is not a number: "−5"\. Write -5 instead, without Unicode .*'),
    ("a,b,label\n1,2,x\n1,3,x\n4,5 cm,y\n", {},
     r'D: line 4, column 1 .*: the value is not a number: "5 cm"\. Write numbers with .* without units .*'),
    ("a,s,c,c\n1,male,3,3\n4,,6,6\n", {"drop": ("a",), "label": 2}, r'D: column 1 \("s"\) holds words, .* drop = \["a", "s"\] in .*'),
    ("a;b;c\n1,5;2;3\n4;5;6\n7;8.5;9\n", {}, r"D: line 2 has a decimal comma \(1,5\), line 4 a decimal point \(8\.5\)\. .*"),
    ("a;b;c\n1,5;2;3\n4;5;0.5\n", {}, r"D: line 2 has a decimal comma \(1,5\), line 3 a decimal point \(0\.5\)\. .*"),
    ("a;b;c\n1;2;0,5\n4;5;0.5\n", {}, r"D: line 2 has a decimal comma \(0,5\), line 3 a decimal point \(0\.5\)\. .*"),
    # Labels
    ("a,b,c\n1,2,x\n4,5,\n", {}, r'D: line 3, column 2 \("c"\): the label is missing\. Fill it in, or remove the line\.'),
    ("a,b,c\n1,2,\n4,5,\n", {}, r'D: line 2, column 2 \("c"\): the label is missing\. Fill it in, or remove the line\.'),
    ("a,b,c\n1,2,1\n4,5,NA\n", {}, r'D: line 3, column 2 \("c"\): the label is missing \("NA"\)\. .*'),
    ("a,b,c\n1,2,True\n4,5,?\n", {}, r'D: line 3, column 2 \("c"\): the label is missing \("\?"\)\. .*'),
    ("a,b,c\n1,2,1\n4,5,inf\n", {}, r'D: line 3, column 2 \("c"\): the label is infinite \(inf\)\. .*'),
    ("a,b,c\n1,2,1\n4,5,1e999\n", {}, r'D: line 3, column 2 \("c"\): the label is too large for float64 \(1e999\)\. .*'),
    (f"a,b,c\n1,2,x\n4,5,{'y' * 257}\n", {}, r'D: line 3, column 2 \("c"\): the label has 257 characters, more than 256\. .*'),
    # Keys
    ("1,2,3\n1,2,3\n", {}, r"a\.toml: data\.header: line 1 of D may be a header that counts 1, 2, 3, or a sample\. Write .*"),
    ("0,1\n1,0\n", {}, r"a\.toml: data\.header: line 1 of D may be a header .*"),
    ("class,target,c\n1,2,3\n4,5,6\n", {}, r'a\.toml: data\.label: several columns of D have a usual name of a label: '
     r'column 0 \("class"\), column 1 \("target"\)\. Write label = "class" or label = "target" in \[data\]\.'),
    ("y,a,Label,label,y\n1,2,3,4,5\n", {"drop": (-1,)}, r'a\.toml: data\.label: .* Write label = 0 or label = "Label" or .*'),
    (ABC, {"label": "A"}, r'a\.toml: data\.label = "A": D has no column of this name\. Did you mean "a"\?'),
    (ABC, {"label": "kind"}, r'a\.toml: data\.label = "kind": D has no column of this name\. Its columns are a, b, c\.'),
    (ABC, {"label": 3}, r"a\.toml: data\.label = 3: D has 3 columns\. Columns count from 0 to 2; -1 is the last\."),
    (ABC, {"label": -4}, r"a\.toml: data\.label = -4: D has 3 columns\. .*"),
    (ABC, {"label": True}, r"a\.toml: data\.label = true: a column is neither a name nor a number\. .*"),
    (ABC, {"label": ()}, r"a\.toml: data\.label = \[\]: it names no column\. .*"),
    (ABC, {"label": ("a", 0)}, r'a\.toml: data\.label = \["a", 0\]: it names a column twice\. .*'),
    ("a,a,c\n1,2,3\n", {"label": "a"}, r'a\.toml: data\.label = "a": D has several columns of this name\. Give one by its number: 0, 1\.'),
    ("1,2,3\n4,5,7\n9,9,9\n", {"label": "a", "header": False}, r'a\.toml: data\.label = "a": D has no header line\. Give the number .*'),
    (ABC, {"drop": ("aa",)}, r'a\.toml: data\.drop = "aa": D has no column of this name\. Did you mean "a"\?'),
    (ABC, {"drop": (9,)}, r"a\.toml: data\.drop = 9: D has 3 columns\. .*"),
    (ABC, {"drop": ("a", "b", "c")}, r'a\.toml: data\.drop = \["a", "b", "c"\]: no column of D is left\. Drop fewer columns\.'),
    (ABC, {"drop": ("a", 1)}, r'a\.toml: data\.drop = \["a", 1\]: no column of D is left as an input\. .*'),
    (ABC, {"label": "b", "drop": (1,)}, r'a\.toml: data\.drop = \[1\]: it holds column 1 \("b"\), which is the label\. .*'),
    *((ABC, {"delimiter": wrong}, r"a\.toml: data\.delimiter = .*: it is not a character that can stand between cells\. .*")
      for wrong in ("", ",,", "x", "7", '"', "\n", "¦", ".", "-")),
    (ABC, {"decimal": ";"}, r'a\.toml: data\.decimal = ";": it is neither a point nor a comma\. .*'),
    (ABC, {"decimal": ",", "delimiter": ","}, r'a\.toml: data\.decimal = ",": the comma is the delimiter as well\. .*'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "message"), REFUSED)
def test_refused(path: Path, text: str | bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(Refusal) as refusal:
        read_csv(written(path, text), design_file=DESIGN, **options)
    assert re.fullmatch(message.replace("D", re.escape(str(path)), 1) if "D" in message else message, str(refusal.value)), str(
        refusal.value
    )


def test_files_that_cannot_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refusal, match=r"d\.csv: there is no such file\. Paths begin at the folder of the design file\.$"):
        read_csv(path)
    path.mkdir()
    with pytest.raises(Refusal, match=r"d\.csv: it is a directory\. Give the path of a file\.$"):
        read_csv(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(Refusal, match=r"d\.csv: it is not a regular file\. Give the path of a file\.$"):
        read_csv(path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(Refusal, match=r"d\.csv: it has 4,294,967,297 bytes, more than 4,294,967,296\. Give a smaller file\.$"):
        read_csv(path)
    path.unlink()
    written(path, ABC)

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(Refusal, match=r"d\.csv: it cannot be read \(Permission denied\)\. Check the path and its permissions\.$"):
        read_csv(path)


def test_two_readings_of_the_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The csv reader and pandas count the rows independently; the test plants a difference, as no text is known to cause one."""
    parsed = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *given, **options: parsed(*given, **options)[1:])
    with pytest.raises(Refusal, match=r"d\.csv: its quotes can be read as 2 or as 1 rows\. Check its quotes\.$"):
        read_csv(written(path, ABC))


# -- Rows after the sample that decisions are based on ----------------------------------------------------------------


def test_beyond_the_sample(path: Path) -> None:
    rows = [f"{n % 7},{n % 5}.5,1" for n in range(3000)]
    written(path, "\n".join(rows))
    assert read_csv(path).lines.tolist() == list(range(1, 3001))
    written(path, "\n".join([*rows, "1,2"]))
    with pytest.raises(Refusal, match=r": line 3001 has 2 cells, the other lines 3\."):
        read_csv(path)
    written(path, "\n".join([*rows, "1,x,2"]))
    with pytest.raises(Refusal, match=r': line 3001, column 1: the value is not a number: "x"\.'):
        read_csv(path)
    written(path, "\n".join([row + "," for row in rows] + ["1,2,3,4"]))
    with pytest.raises(Refusal, match=r": line 1, column 3: the label is missing\."):
        read_csv(path)
    written(path, "\n".join(["a,b,c", *(row + "," for row in rows), "1,2,3,4"]))
    with pytest.raises(Refusal, match=r': line 2, column 3 \("c"\): the label is missing\.'):
        read_csv(path)


# -- Round trips ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """Bytes of a file, and the table that it represents."""

    data: bytes
    inputs: np.ndarray
    answers: np.ndarray
    names: tuple[str, ...]
    label: int
    header: bool
    delimiter: str
    decimal: str
    lines: list[int] | None

    def options(self) -> dict[str, Any]:
        return {"label": self.label, "header": self.header, "delimiter": self.delimiter, "decimal": self.decimal}

    def same(self, table: Table) -> bool:
        """Return whether a table that was read is equal to this one, bit for bit."""
        return (
            table.names + table.answer_names == self.names
            and np.array_equal(table.inputs, self.inputs)
            and table.answers.dtype.kind == self.answers.dtype.kind
            and np.array_equal(table.answers, self.answers)
            and (self.lines is None or table.lines.tolist() == self.lines)
        )

    def wrong(self, table: Table) -> dict[str, Any]:
        """Return the options that correct the wrong guesses of a table that was read."""
        guesses = guessed(table)
        names = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "spaces"}
        right = {
            "header": ("header" not in guesses) or (guesses["header"] != "none") == self.header,
            "label": ("label" not in guesses) or guesses["label"].split(" ")[1] == str(self.label),
            "delimiter": guesses.get("delimiter", names[self.delimiter]) == names[self.delimiter],
            "decimal": ("decimal mark" not in guesses) or self.decimal == ",",
        }
        return {key: value for key, value in self.options().items() if not right[key]}


LETTERS = "abcXYZé東0123 .-_'()#%,;|:\"?\t"
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-100, 100).map(lambda value: round(value, 2)),
    st.integers(-(10**18), 10**18),
    st.integers(0, 9),
)


def words(prefix: str, delimiter: str, quoting: int) -> st.SearchStrategy[str]:
    """Generate text with a prefix; it contains line feeds only if the writer quotes every text."""
    letters = LETTERS.replace("\t", "") if delimiter == " " else LETTERS
    letters += "\n" if quoting in (csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC) else ""
    return st.text(letters, max_size=6).map(lambda text: (prefix + text).strip())


@st.composite
def tables(draw: st.DrawFn, plain: bool) -> Written:
    """Generate a random table, written by pandas or the standard library; the format of a ``plain`` one is unambiguous."""
    delimiter = draw(st.sampled_from(",;\t| "))
    decimal = draw(st.sampled_from("." if delimiter == "," else ".,"))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    n, features = draw(st.integers(4 if plain else 1, 12)), draw(st.integers(2 if plain else 1, 5))
    columns: list[list[Any]] = [draw(st.lists(NUMBERS, min_size=n, max_size=n)) for _ in range(features)]
    if plain:  # no whole numbers below a million, so no row looks like a header, and no column like an index
        columns = [[value + 0.5 if abs(value) < 1e6 and value == int(value) else value for value in column] for column in columns]
    label = features if plain else draw(st.integers(0, features))
    columns.insert(label, draw(_labels(n, 2 if plain else 1, delimiter, quoting)))
    header = draw(st.sampled_from(["words", "none"] if plain else ["words", "none", "numbers"]))
    named = st.text("abcdXYZ .,;|", max_size=5).map(lambda text: ("n" + text).strip())
    some = [*draw(st.lists(named, min_size=features, max_size=features)), "last"]
    names = {"words": some, "numbers": [str(column) for column in range(features + 1)]}
    terminator = draw(st.sampled_from(["\n", "\r\n", "\r"] if quoting == csv.QUOTE_ALL else ["\n", "\r\n"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    write = _with_pandas if draw(st.booleans()) else _with_csv
    style = {"sep": delimiter, "decimal": decimal, "quoting": quoting, "lineterminator": terminator}
    text, index, lines = write(draw, columns, names.get(header), style)
    if index is not None:
        columns.insert(0, index)
        label += 1
    inputs = np.array([[float(value) for value in column] for place, column in enumerate(columns) if place != label]).T
    every = names.get(header) or [f"column {place + (index is not None)}" for place in range(features + 1)]
    every = [*([] if index is None else ["" if header != "none" else "column 0"]), *every]
    ordered = (*(name for place, name in enumerate(every) if place != label), every[label])
    return Written(text.encode(encoding), inputs, np.array(columns[label]), ordered, label, header != "none", delimiter, decimal, lines)


@st.composite
def _labels(draw: st.DrawFn, n: int, certain: int, delimiter: str, quoting: int) -> list[Any]:
    """Generate labels of one kind; after the first ``certain`` labels, words may look like labels of other kinds."""
    kind = draw(st.sampled_from(["words", "integers", "floats", "booleans"]))
    if kind == "words":
        odd = st.sampled_from(["NA", "None", "nan", "?", "-", "True", "1", "-2", "inf", "#", "%"])
        word = words("w", delimiter, quoting)
        rest = st.lists(st.one_of(word, odd), min_size=n - certain, max_size=n - certain)
        return [*draw(st.lists(word, min_size=certain, max_size=certain)), *draw(rest)]
    values = {"integers": st.integers(0, 4).map(float), "floats": st.floats(-9, 9), "booleans": st.booleans()}[kind]
    return draw(st.lists(values, min_size=n, max_size=n))


def _with_pandas(
    draw: st.DrawFn, columns: list[list[Any]], names: list[str] | None, style: dict[str, Any]
) -> tuple[str, list[int] | None, None]:
    frame = pd.DataFrame(dict(enumerate(columns)))
    frame.columns = pd.Index(names or range(len(columns)))
    index = draw(st.booleans())
    frame.index = pd.RangeIndex(draw(st.integers(0, 1)), len(frame) + 5)[: len(frame)]
    short = index and names is not None and draw(st.booleans())
    text = frame.to_csv(header=names is not None, index=index, index_label=False if short else None, **style)
    return text, list(frame.index) if index else None, None


def _with_csv(draw: st.DrawFn, columns: list[list[Any]], names: list[str] | None, style: dict[str, Any]) -> tuple[str, None, list[int]]:
    """Write numbers in various forms, with or without a delimiter after every line, blank lines, and ``sep=``."""
    delimiter, end = style["sep"], style["lineterminator"]
    form = draw(st.sampled_from(["{!r}", "{:.17e}", "{:+.17G}", " {!r}"]))
    tail = [""] if delimiter != " " and draw(st.booleans()) else []
    blank = draw(st.booleans())

    def cell(value: Any) -> str:
        return (
            value
            if isinstance(value, str)
            else str(value)
            if isinstance(value, bool)
            else form.format(float(value)).replace(".", style["decimal"])
        )

    file = io.StringIO(newline="")
    if delimiter in ";,|" and draw(st.booleans()):
        file.write(f"sep={delimiter}{end}")
    writer = csv.writer(file, delimiter=delimiter, quoting=style["quoting"], lineterminator=end)
    if names is not None:
        writer.writerow(names + tail)
    lines = []
    for row in zip(*columns, strict=True):
        if blank:
            file.write(end)
        lines.append(len(re.findall("\r\n|\r|\n", file.getvalue())) + 1)
        writer.writerow([cell(value) for value in row] + tail)
    return file.getvalue(), None, lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round_trip")


@settings(max_examples=200)
@given(made=tables(plain=False))
def test_round_trip_of_what_is_told(folder: Path, made: Written) -> None:
    """Given the label, header, delimiter and decimal mark, the reader returns every table unchanged and guesses nothing."""
    table = read_csv(written(folder / "told.csv", made.data), **made.options())
    assert made.same(table), table
    assert table.guesses == ()


@settings(max_examples=200)
@given(made=tables(plain=True))
def test_round_trip_of_what_is_guessed(folder: Path, made: Written) -> None:
    """The reader returns unambiguous tables unchanged without any options."""
    table = read_csv(written(folder / "guessed.csv", made.data))
    assert made.same(table), table


@settings(max_examples=200)
@given(made=tables(plain=False))
def test_round_trip_is_never_silently_different(folder: Path, made: Written) -> None:
    """Any other table is read back unchanged, is refused, or lists the wrong guesses, and setting their keys corrects it."""
    path = written(folder / "any.csv", made.data)
    options: dict[str, Any] = {}
    try:
        table = read_csv(path)
        while not made.same(table):
            wrong = made.wrong(table)
            assert wrong, table
            assert not options.keys() & wrong.keys()
            options |= wrong
            table = read_csv(path, **options)
    except Refusal as refusal:
        event("refused")
        assert refusal.reason
    else:
        event(f"the same with {', '.join(sorted(options)) or 'no'} key")


@settings(max_examples=200)
@given(
    delimiter=st.sampled_from(",;|"),
    junk=st.lists(st.text('"",,a1 \'\\\r\n\t', max_size=10).map(lambda text: text.replace('"a', '"')), min_size=1, max_size=5),
)
def test_quotes_are_read_as_the_standard_library_reads_them(folder: Path, delimiter: str, junk: list[str]) -> None:
    """Lines of a number and arbitrary text are read as csv.reader reads them, or refused."""
    text = "".join(f"1{delimiter}x{line.replace(',', delimiter)}\n" for line in junk)
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    rows = [row for row in csv.reader(io.StringIO(plain, newline=""), delimiter=delimiter, skipinitialspace=True) if "".join(row).strip()]
    try:
        table = read_csv(
            written(folder / "junk.csv", text), label=tuple(range(1, len(rows[0]))), header=False, delimiter=delimiter, decimal="."
        )
    except Refusal as refusal:
        event("refused")
        assert refusal.reason
        return
    event("read")
    cells = [[cell.strip() for cell in row] for row in rows]
    width = 1 + table.answers.reshape(len(cells), -1).shape[1]
    assert not any(cell for row in cells for cell in row[width:])
    assert table.inputs.tolist() == [[float(row[0])] for row in cells]
    assert table.answers.reshape(len(cells), -1).tolist() == [row[1:width] for row in cells]
