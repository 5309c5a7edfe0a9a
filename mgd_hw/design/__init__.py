"""The design file: its keys, how its text becomes a checked design, and the designs that come with the package.

``keys``         every key a design file may have; ``values`` reads the value of one
``reader``       from TOML text to a ``Design``; ``derive`` fills in what the file leaves out, and says why
``float_only``   what a design may ask for that no hardware does yet
``starters``     the files that ``mgd-hw new`` writes
``reference``    the page docs/design-file.md
``shipped/``     the design files that come with the package
"""
