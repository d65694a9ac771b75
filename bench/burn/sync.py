"""The same model in the API's own process, as a synchronous endpoint: `uvicorn bench.burn.sync:app`."""

from fastapi import FastAPI

from bench.burn.model.model import burn
from bench.burn.model.spec import Ash, Order

app = FastAPI()


@app.post("/burn")
def score(orders: list[Order]) -> list[Ash]:
    return [Ash(burnt=burn(order.cycles)) for order in orders]


@app.get("/health/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}
