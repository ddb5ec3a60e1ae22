"""The one kind of error a user should meet: a single line that says what is wrong and what to do."""


class RffdError(Exception):
    """A problem the user can mend; its message is one line and is printed without a traceback."""
