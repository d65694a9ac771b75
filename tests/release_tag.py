"""Ends with an error when a tag is not `v` and the version of server and client. `latest` stands for no tag."""

import sys

from millrace_client import VERSION as CLIENT

from handler import VERSION as SERVER

if CLIENT != SERVER:
    sys.exit(f"handler/__init__.py says {SERVER}, client/millrace_client/__init__.py says {CLIENT}: make them equal")
if (tag := sys.argv[1]) not in (f"v{SERVER}", "latest"):
    sys.exit(f"the tag {tag} is not v{SERVER}, the version in handler/__init__.py")
