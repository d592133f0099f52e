"""Where the packaged tiny networks come from: data, recipes and the command."""
