"""Defines the errors that a user can fix."""


class UserError(Exception):
  """A mistake in a user's command, configuration or file.

  The message is one or two lines: what was wanted, what came, and which key,
  file or command to change. The command line prints it without a traceback and
  exits with status 2 (see `cli`).
  """


class WeightsError(UserError):
  """A weight file that is not what it should be."""
