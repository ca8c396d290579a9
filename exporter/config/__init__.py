"""The configuration: YAML and environment in, a frozen `Config` or every error out."""

import os

# plugins of other packages have no business with a configuration that holds secrets, and looking
# for them at every start takes time; set before pydantic is imported
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
