"""The one exception whose text is written for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend.

    The message names the file or key, what was wrong, what is accepted and what to do. The command line prints it
    without a traceback and exits with status 2.
    """
