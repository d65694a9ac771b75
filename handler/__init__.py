"""HTTP in, 202 out. Imports no ML runtime."""
