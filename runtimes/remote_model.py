"""Models that another server runs, which speaks the Open Inference Protocol.

Inputs leave the platform. The protocol has no value for what is missing, so no input of such a model may be null.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtimes.remote_http import RemoteFailed, RemoteServer
from serving.artifact import Artifact
from serving.contract import Columns, Kind

KEY_SETTING = re.compile("REMOTE_MODEL_KEY_[A-Z0-9_]{1,50}")
"""How the setting is called that holds a server's key. No model may name another one, which might be a password."""

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("FP16", "FP32", "FP64"), "double"),
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"), "bigint"),
    "BOOL": "boolean",
    "BYTES": "text",
}
_LISTS: dict[Kind, Kind] = {"double": "double[]", "bigint": "double[]", "text": "text[]"}


class RemoteSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    remote_models_allow_private: bool = Field(
        default=False, description="whether remote models may be at private addresses, such as another container's"
    )


class RemoteTensor(msgspec.Struct, frozen=True):
    """A tensor of the server's, and the column that it is here. A row of `width` values is a list."""

    name: str
    datatype: str
    width: int | None
    column: str = ""


class RemoteOptions(msgspec.Struct, frozen=True):
    url: str
    key_setting: str | None
    version: str
    """The version that the server reported when the model was added."""
    inputs: tuple[RemoteTensor, ...]
    outputs: tuple[RemoteTensor, ...]


def server(url: str, key_setting: str | None) -> RemoteServer:
    """Return the server of a model. Raises RemoteFailed."""
    if not re.match("https?://", url):
        raise RemoteFailed(f"{url}: not an address of http or https")
    key = None
    if key_setting is not None:
        if not KEY_SETTING.fullmatch(key_setting):
            raise RemoteFailed(f"the setting with its key must be called REMOTE_MODEL_KEY_…, not {key_setting}")
        key = os.environ.get(key_setting, "").strip()
        if not re.fullmatch("[!-~]+", key):
            raise RemoteFailed(f"{key_setting} is not set, which holds the key of {url}, or is no key")
    return RemoteServer(url, key, allow_private=RemoteSettings().remote_models_allow_private)


def tensors(described: Any) -> tuple[RemoteTensor, ...]:
    """Return the tensors of `inputs` or `outputs` in a model's metadata. Raises RemoteFailed."""
    if not isinstance(described, list) or not described:
        raise RemoteFailed("its metadata describes no tensors")
    found = []
    for one in described:
        if not isinstance(one, dict):
            raise RemoteFailed("its metadata describes a tensor that is no object")
        name, datatype, shape = (one.get(word) for word in ("name", "datatype", "shape"))
        known = isinstance(datatype, str) and datatype in _KINDS
        if not known or not isinstance(shape, list) or not 1 <= len(shape) <= 2 or {*map(type, shape)} != {int}:
            raise RemoteFailed(
                f"its tensor {name!r} is {datatype} of shape {shape}; served are tensors [rows] and [rows, columns] of "
                f"{', '.join(_KINDS)}"
            )
        width = None if len(shape) == 1 or shape[1] == 1 else int(shape[1])
        found.append(RemoteTensor(str(name), str(datatype), width))
    return tuple(found)


def kind_of(tensor: RemoteTensor) -> Kind:
    kind = _KINDS[tensor.datatype]
    return kind if tensor.width is None else _LISTS.get(kind, kind)


class RemoteModel:
    def __init__(self, at: RemoteServer, options: RemoteOptions) -> None:
        self._server = at
        self._options = options

    def predict(self, columns: Columns) -> dict[str, Any]:
        """Raises RemoteFailed."""
        n_rows = len(columns[self._options.inputs[0].column])
        answer = self._server.infer(
            {
                "inputs": [_sent(tensor, columns[tensor.column], n_rows) for tensor in self._options.inputs],
                "outputs": [{"name": tensor.name} for tensor in self._options.outputs],
            }
        )
        try:
            given = {one["name"]: one["data"] for one in answer["outputs"]}
            return {tensor.column: _rows(tensor, given[tensor.name], n_rows) for tensor in self._options.outputs}
        except (KeyError, TypeError, ValueError) as error:
            raise RemoteFailed(f"its answer is not one of the protocol's: {error!r}") from None


def load(found: Artifact) -> RemoteModel:
    """Ask the server whether it has the version that was added. Raises RemoteFailed."""
    options = msgspec.convert(found.manifest["options"], RemoteOptions)
    at = server(options.url, options.key_setting)
    reports = version_of(at.metadata())
    if reports != options.version:
        raise RemoteFailed(f"{options.url} reports version {reports}, and {options.version} was added; add it again")
    return RemoteModel(at, options)


def version_of(metadata: Mapping[str, Any]) -> str:
    """Return the version that the server reports: the last of those that it has."""
    versions = metadata.get("versions")
    return str(versions[-1]) if isinstance(versions, list) and versions else ""


def _sent(tensor: RemoteTensor, values: Any, n_rows: int) -> dict[str, Any]:
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if tensor.datatype == "BYTES":
        listed = [value.decode("latin-1") if isinstance(value, bytes) else value for value in listed]
    shape = [n_rows] if tensor.width is None else [n_rows, tensor.width]
    data = listed if tensor.width is None else [value for row in listed for value in row]
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data}


def _rows(tensor: RemoteTensor, data: Sequence[Any], n_rows: int) -> list[Any]:
    """Return one value a row, of data that is flat or nested: the protocol allows both."""
    flat = list(data)
    while flat and isinstance(flat[0], list):
        flat = [value for row in flat for value in row]
    width = tensor.width or 1
    if width < 0:
        width = len(flat) // n_rows
    if len(flat) != n_rows * width:
        raise RemoteFailed(f"it gave {len(flat)} values of {tensor.name!r} for {n_rows} rows")
    if _KINDS[tensor.datatype] == "double" or (tensor.width is not None and tensor.datatype != "BYTES"):
        flat = [float(value) for value in flat]
    if tensor.width is None:
        return flat
    return [flat[row * width : (row + 1) * width] for row in range(n_rows)]
