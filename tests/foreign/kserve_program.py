"""Uses KServe's own client as its documentation does, with the tensors that standard input names for each model.

`python kserve_program.py URL` prints what the client returned, as JSON.
"""

import asyncio
import json
import sys
from base64 import b64decode
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


def tensor(column: dict[str, Any], rows: list[dict[str, Any]], binary: bool) -> InferInput:
    values = [row[column["name"]] for row in rows]
    made = InferInput(column["name"], [len(rows)], column["datatype"])
    if column["datatype"] == "BYTES":
        raw = [b64decode(value) if column["is_bytes"] and binary else value.encode() for value in values]
        made.set_data_from_numpy(np.array(raw, np.object_), binary_data=binary)
    else:
        kinds = {"INT32": np.int32, "INT64": np.int64, "FP64": np.float64}
        made.set_data_from_numpy(np.array(values, kinds[column["datatype"]]), binary_data=binary)
    return made


async def main(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    said: dict[str, Any] = {"live": await client.is_server_live(url), "ready": await client.is_server_ready(url)}
    for model, given in json.load(sys.stdin).items():
        said[model] = {"ready": await client.is_model_ready(url, model)}
        for binary in (False, True):
            inputs = [tensor(column, given["rows"], binary) for column in given["columns"]]
            asked = InferRequest(model, inputs, request_id="7", parameters={"binary_data_output": binary})
            answer = await client.infer(url, asked, model_name=model)
            found = {output.name: output.as_numpy() for output in answer.outputs}
            said[model][f"{binary=}"] = {
                name: np.vectorize(lambda one: one.decode() if isinstance(one, bytes) else one)(values).tolist()
                for name, values in found.items()
            }
    try:
        await client.infer(url, {"inputs": []}, model_name="report_scorer")
    except httpx.HTTPStatusError as error:
        said["refused"] = str(error)
    said["missing"] = await client.is_model_ready(url, "nonsense")
    await client.close()
    return said


if __name__ == "__main__":
    json.dump(asyncio.run(main(sys.argv[1])), sys.stdout)
