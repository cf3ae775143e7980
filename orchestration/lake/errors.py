"""The one error that a user is meant to read.

Holds the exception type that every room raises when the month cannot go on. What is
raised here is printed as one paragraph, without a traceback, by the command line and is
the failure text of a Dagster step. Programming errors are not this type.
"""


class PodledgerError(Exception):
    """A month that cannot be read, split or published, told in one paragraph.

    The message names what is wrong (root, file, row, column or key), and ends with what
    to do about it.
    """
