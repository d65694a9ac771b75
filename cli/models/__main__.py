"""`python -m cli.models`"""

from cli.encoding import print_anything
from cli.models.group import models

print_anything()
models()
