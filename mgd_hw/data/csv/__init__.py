"""Read a table of samples from a csv file, or from a text file in a similar format.

:func:`read_csv` detects what the design file does not specify (delimiter, decimal mark, header, label column) and reports each
decision as a :class:`Guess`. It refuses ambiguous input with the file and the line. Columns are numbered from 0, as in the keys
``data.label`` and ``data.drop``; lines are numbered from 1, as in an editor.

The standard library's csv reader finds the rows, their lines and their numbers of cells; pandas parses the cells.
"""

from mgd_hw.data.csv.columns import LABEL_NAMES
from mgd_hw.data.csv.reader import Table, read_csv
from mgd_hw.data.csv.text import LARGEST_FILE
from mgd_hw.data.raw import Guess

__all__ = ["LABEL_NAMES", "LARGEST_FILE", "Guess", "Table", "read_csv"]
