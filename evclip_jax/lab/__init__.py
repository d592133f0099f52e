"""Makes the packaged tiny networks: data, recipes and the command."""
