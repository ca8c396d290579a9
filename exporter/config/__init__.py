"""The configuration: reads YAML and the environment, returns a frozen `Config` or all errors."""

import os

# Keep plugins of other packages away from a configuration that holds secrets, and save the time to
# look for them at every start. Must be set before pydantic is imported.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
