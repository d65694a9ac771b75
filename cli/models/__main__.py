"""`python -m cli.models`"""

from millrace_client.cli.encoding import print_anything

from cli.models.group import models

print_anything()
models()
