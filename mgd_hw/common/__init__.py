"""What every other room of the package builds on.

``errors``, ``interrupts``   what ends a verb: something that the user can mend, or a signal
``results``                  the base of what a verb returns; ``style`` is its look on the terminal, ``figures`` that of its pictures
``progress``                 how a verb says what it does
``files``                    where results go
"""
