"""The design file: its keys, the reader that turns its text into a checked design, and the designs that come with the package.

``keys``          table of all keys of a design file; ``values`` has the readers of their values
``reader``        parser from TOML text to a ``Design``; ``given`` holds the values in the file, ``combinations`` checks them together
``derive``        derivation of the values that the file leaves out, with reasons; ``description`` defines the result
``float_only``    requests that only the float model can meet; ``float_model`` builds the float model of a design
``samples``       loading of a design's samples, which ``formats`` checks against its number formats
``argument``      the design argument of the verbs: a path, a name or a ``Design``; ``run`` builds the run that a design describes
``starters``      the files that the verb ``new`` writes
``reference``     generator of the page docs/reference/design-file.md
``shipped/``      the design files that come with the package
"""
