"""``python -m mgd_hw``: the program ``mgd-hw``."""

from mgd_hw.cli import main

main()
