"""Read a table of samples from a text file: csv and its many relatives.

:func:`read_csv` finds out what the design file does not say (delimiter, decimal mark, header, label column), reports each
decision as a :class:`Guess`, and refuses with file and line what it cannot read with certainty. Columns and their numbers
count from 0, as in the keys ``data.label`` and ``data.drop``; lines count from 1, as in an editor.

The standard library's csv reader finds rows, their lines and their numbers of cells; pandas parses the cells.
"""

from mgd_hw.data.csv.columns import LABEL_NAMES
from mgd_hw.data.csv.reader import Table, read_csv
from mgd_hw.data.csv.text import LARGEST_FILE
from mgd_hw.data.raw import Guess

__all__ = ["LABEL_NAMES", "LARGEST_FILE", "Guess", "Table", "read_csv"]
