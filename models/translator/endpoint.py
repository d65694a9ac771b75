"""POST /translation: records in one language in, the same records in another out."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serving.contract import Columns
from serving.endpoint import Endpoint


class TranslationRecord(BaseModel):
    """A text and the caller's own key for it. Keys may repeat; records are answered in their order."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(examples=["123"])]
    text: Annotated[str, Field(examples=["Life is like a box of chocolates."])]


class TranslationPayload(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    from_lang: Annotated[str, Field(alias="fromLang", examples=["en"])]
    records: list[TranslationRecord]
    to_lang: Annotated[str, Field(alias="toLang", examples=["ja"])]


class TranslationRequest(BaseModel):
    """Translate every record from one language into another."""

    model_config = ConfigDict(extra="forbid", strict=True)

    payload: TranslationPayload


class Translated(BaseModel):
    id: Annotated[str, Field(examples=["123"])]
    text: Annotated[str, Field(examples=["人生はチョコレートの箱のようなものだ。"])]


class Translations(BaseModel):
    result: list[Translated]


def _inputs(body: TranslationRequest) -> list[dict[str, Any]]:
    pair = {"source": body.payload.from_lang, "target": body.payload.to_lang}
    return [{"text": record.text, "id": record.id, **pair} for record in body.payload.records]


def _outputs(body: TranslationRequest, columns: Columns, seconds: float) -> dict[str, Any]:
    pairs = zip(body.payload.records, columns["translation"], strict=True)
    return {"result": [{"id": record.id, "text": translation} for record, translation in pairs]}


def _locate(position: int, field: str) -> tuple[str | int, ...]:
    languages = {"source": "fromLang", "target": "toLang"}
    if field in languages:
        return "payload", languages[field]
    return "payload", "records", position, field


TRANSLATION = Endpoint(
    path="/translation",
    operation_id="translation",
    summary="Translate texts, and wait for them",
    description="The translations, in the order of the records, each with its record's id.",
    body=TranslationRequest,
    answer=Translations,
    inputs=_inputs,
    outputs=_outputs,
    locate=_locate,
)
