"""The design file: its keys, how its text becomes a checked design, and the designs that come with the package.

``keys``          every key a design file may have; ``values`` reads the value of one
``reader``        from TOML text to a ``Design``; ``given`` holds what the file says, ``combinations`` checks that its keys go together
``derive``        what the file leaves out, and why; ``description`` is the result
``float_only``    what a design may request that no hardware does; ``float_model`` is the float model of a design
``samples``       the samples of a design, which ``formats`` checks against its number formats
``argument``      a design as the verbs take it, by path, name or as it is; ``run`` is the run that it describes
``starters``      the files that ``new`` writes
``reference``     the page docs/reference/design-file.md
``shipped/``      the design files that come with the package
"""
