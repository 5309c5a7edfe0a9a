"""Shared foundations of the other packages of :mod:`mgd_hw`.

``results``      base class of the results that verbs return
``style``        number formats and tables for the terminal
``figures``      style of the figures drawn with matplotlib
``progress``     progress reporting for long-running operations
``files``        output directories and files
``interrupts``   signals that end a command
"""
