"""Installs the library of a runtime into the environment of this command, which is also that of `make up`."""

import os
import subprocess
import sys
import sysconfig

import click

from devstack.local import ROOT


def install(runtime: str, *, yes: bool) -> bool:
    """Install what a worker needs for the runtime, if somebody agrees; return whether it is installed now.

    The packages are those of the worker's image, by their hashes. A worker that runs in this environment finds them.
    """
    packages = ROOT / "requirements" / f"worker-{runtime}.txt"
    if not packages.exists() or not os.access(sysconfig.get_path("purelib"), os.W_OK):
        return False
    if not yes:
        if not sys.stdin.isatty():
            return False
        if not click.confirm(
            f"This model needs {runtime}, which is not installed in {sys.prefix}. Install it?", err=True
        ):
            return False
    click.echo(f"Installing requirements/{packages.name} …", err=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--require-hashes", "--only-binary=:all:", f"--requirement={packages}"], check=False)
    return done.returncode == 0
