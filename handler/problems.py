"""Every kind of problem that the handler answers with: the only place that knows which error has which HTTP status."""

from collections.abc import Mapping, Sequence
from enum import Enum
from uuid import UUID

MAX_FIELD_ERRORS = 100  # enough to see what is wrong, and an answer that stays small
NOT_READY = 503  # of a readiness probe that fails; its body is no problem, as it lists what works as well


class ProblemKind(Enum):
    """The kinds in the order of their status: status, title, cause, remedy. Iterate over it for the whole table."""

    IMPROPER_HTTP = (
        400,
        "Malformed HTTP",
        "The request is not valid HTTP/1.1, or a proxy could read it in two ways.",
        "Send it with an HTTP client library, and each single-valued header (Host, Content-Length, …) once.",
    )
    HUNG_UP = (
        400,
        "Connection closed by the client",
        "The client closed the connection before the handler answered. Only logs and metrics show this kind.",
        "Raise the client's timeout, and repeat the request with the same Idempotency-Key.",
    )
    KEY_MISSING = (
        401,
        "API key missing",
        "The request carries no API key, and AUTH=required asks for one.",
        "Send the header `Authorization: Bearer mr_…`.",
    )
    KEY_REFUSED = (
        401,
        "Unknown or revoked API key",
        "The API key does not exist, or was revoked.",
        "Ask the operator for a new key (`millrace keys create`).",
    )
    FOREIGN_ORIGIN = (
        403,
        "Origin not allowed",
        "With AUTH=off: a page of another origin sent a POST.",
        "Add the origin to CORS_ORIGINS if its scripts may use the API.",
    )
    OTHER_SITE = (
        403,
        "Change from another site",
        "A change in the console was not sent by a page of the console: the headers Sec-Fetch-Site and Origin show it.",
        "Open the console and make the change there; programs use the API.",
    )
    ROLE_REFUSED = (
        403,
        "Role lacks the right",
        "The role of the API key does not include this operation.",
        "Ask the operator for a key with a role that the detail names (`millrace keys create CLIENT --role ROLE`).",
    )
    NOT_FOUND = (
        404,
        "No such endpoint",
        "The API has no endpoint with this path.",
        "Compare the path with the endpoints listed at /docs.",
    )
    UNKNOWN_TASK = (
        404,
        "Unknown task",
        "No task has this id, or it belongs to another client.",
        "Check the id, and use the API key of the client that submitted the task.",
    )
    UNKNOWN_JOB = (
        404,
        "Unknown job",
        "No job has this id, or it belongs to another client.",
        "Check the id, and use the API key of the client that made the job.",
    )
    UNKNOWN_MODEL = (
        404,
        "Unknown model",
        "The handler serves no model with this name.",
        "Use a name from GET /models.",
    )
    UNKNOWN_VERSION = (
        404,
        "Unknown model version",
        "The handler does not serve this version of the model.",
        "Use the version from GET /v2/models/<model>, or leave the version out.",
    )
    NOT_EVALUATED = (
        404,
        "Not evaluated yet",
        "No figures of the model on live traffic are stored for this grouping.",
        "Have the operator run `millrace evaluate --live MODEL --by version,week` with the grouping.",
    )
    UNKNOWN_LEASE = (
        404,
        "Unknown lease",
        "No lease has this id, or it belongs to another client.",
        "Use the ids from POST /triage/leases, and the API key of the client that leased them.",
    )
    METHOD_NOT_ALLOWED = (
        405,
        "Method not allowed",
        "The endpoint does not support this HTTP method.",
        "Use a method from the Allow header.",
    )
    BODY_TOO_SLOW = (
        408,
        "Request body timed out",
        "The request body did not arrive within BODY_TIMEOUT_SECONDS.",
        "Send a smaller submission, or use a faster connection.",
    )
    TASK_ENDED = (
        409,
        "Task has ended",
        "The task has already ended, so it cannot be cancelled, or it ended without outputs.",
        "Read the task at GET /task/<id> to see how it ended.",
    )
    TASK_NOT_FAILED = (
        409,
        "Task cannot be replayed",
        "The task has not failed, or retention has deleted its inputs.",
        "Replay only tasks in status FAILURE; submit the inputs again if they were deleted.",
    )
    NO_LIVE_VERSION = (
        409,
        "No live version",
        "The model has no live version: none was promoted yet, or the model was retired.",
        "Ask the owner of the model to promote a version (`millrace models promote`).",
    )
    CHANGE_REFUSED = (
        409,
        "Change of a model refused",
        "The model's versions are not in a state in which this change is possible; the detail says why.",
        "Look at GET /models/<model>/versions, and do what the detail names.",
    )
    JOB_CLOSED = (
        409,
        "Job takes no more parts",
        "The job was closed or cancelled, so it takes no new part and cannot be cancelled again.",
        "Make a new job; parts that the job has already can be repeated.",
    )
    PARTS_MISSING = (
        409,
        "Parts of the job are missing",
        "The job was to be closed with a number of parts that are not all stored.",
        "Send the parts that the detail names, then close the job again.",
    )
    JOB_NOT_FINISHED = (
        409,
        "Job not finished",
        "Results can be read once every row of the job is scored, rejected or failed.",
        "Wait until GET /jobs/<id> says DONE.",
    )
    NOT_REVIEWABLE = (
        409,
        "Model cannot be reviewed",
        "The model declares no outcomes, or has no output between 0 and 1 that ranks its predictions.",
        "Declare [outcomes] in its model.toml and add it again, or report outcomes without leases.",
    )
    BODY_TOO_LARGE = (
        413,
        "Request body too large",
        "The request body is larger than MAX_BODY_BYTES.",
        "Send several smaller submissions.",
    )
    WRONG_CONTENT_TYPE = (
        415,
        "Unsupported content type",
        "The Content-Type header is missing, or the endpoint does not support its value.",
        "Send the Content-Type that the detail names, in most cases application/json.",
    )
    WRONG_CONTENT_ENCODING = (
        415,
        "Unsupported content encoding",
        "The endpoint does not support this Content-Encoding.",
        "Compress the body with gzip, deflate or zstd, or send it uncompressed.",
    )
    UNKNOWN_HOST = (
        421,
        "Host not allowed",
        "With AUTH=off: the Host header is not localhost, an IP address or a name in ALLOWED_HOSTS.",
        "Add the name to ALLOWED_HOSTS if it is one of this handler.",
    )
    INVALID_INPUT = (
        422,
        "Invalid input",
        "The body does not match the model's input schema. Nothing was stored.",
        "Correct the fields listed in `errors`; GET /models/<model> has the schema.",
    )
    INVALID_JSON = (
        422,
        "Invalid JSON",
        "The body is not valid JSON.",
        "Correct the syntax at the line and column that the detail names.",
    )
    INVALID_FORM = (
        422,
        "Invalid multipart form",
        "The multipart form is malformed, or has parts that the endpoint does not accept.",
        "Let an HTTP client build the form, with the parts that the detail names.",
    )
    INVALID_PARAMETER = (
        422,
        "Invalid parameter",
        "A path parameter, query parameter or header has a wrong value, is unknown, or is repeated.",
        "Correct the parameters listed in `errors`.",
    )
    INVALID_CALLBACK_URL = (
        422,
        "Invalid callback URL",
        "The handler cannot deliver webhooks to this callback_url.",
        "Use an https URL with a public host name.",
    )
    WEBHOOKS_OFF = (
        422,
        "Webhooks are disabled",
        "The submission or job names a callback_url, but the handler has no WEBHOOK_SECRET.",
        "Set WEBHOOK_SECRET, or leave callback_url out and poll.",
    )
    IDEMPOTENCY_KEY_REUSED = (
        422,
        "Idempotency key reused",
        "The same Idempotency-Key was sent with other inputs, another model or another callback_url.",
        "Use a new key for each submission; repeat a key only with the same request.",
    )
    PART_REUSED = (
        422,
        "Part number reused",
        "Another part of the job was sent under this number before.",
        "Number the parts of a job from 0 on, and repeat a number only with the same rows.",
    )
    TOO_MANY_INPUTS = (
        422,
        "Too many inputs",
        "The submission has more inputs than the model accepts at once.",
        "Split it; GET /models/<model> has the limit as `max_inputs`.",
    )
    TOO_MANY_REQUESTS = (
        429,
        "Rate limit exceeded",
        "The client sent more requests than RATE_LIMIT allows.",
        "Wait for the seconds in the Retry-After header.",
    )
    INTERNAL_ERROR = (
        500,
        "Internal error",
        "The handler has a bug or is broken. Its log has the traceback.",
        "Report it to the operator with the X-Request-ID of the response.",
    )
    TASK_FAILED = (
        500,
        "Task failed",
        "The model could not score the input.",
        "Read the reason in the detail, then replay the task at POST /task/<id>/replay.",
    )
    BACKLOG_FULL = (
        503,
        "Backlog full",
        "Too many inputs are waiting (MAX_BACKLOG_INPUTS), or too many bytes of requests are being processed.",
        "Wait for the seconds in the Retry-After header, then repeat the request.",
    )
    LISTS_BUSY = (
        503,
        "Too many lists at once",
        "The handler is reading as many task lists as it may at the same time.",
        "Wait for the seconds in the Retry-After header, and request one list at a time.",
    )
    MODEL_NOT_LOADED = (
        503,
        "Model not loaded",
        "No worker has the model loaded.",
        "Start a worker that serves the model. Submissions are accepted meanwhile, and wait.",
    )
    STORE_UNAVAILABLE = (
        503,
        "Database unavailable",
        "PostgreSQL cannot be reached, or refuses to serve; the detail says why.",
        "Wait for the seconds in the Retry-After header, then repeat the request.",
    )
    NOT_SCORED_YET = (
        504,
        "Not scored in time",
        "The endpoint answers only with outputs, and the task did not end in time. The task continues.",
        "Read the task at the URL in the Location header.",
    )

    def __init__(self, status: int, title: str, cause: str, remedy: str) -> None:
        self.status, self.title, self.cause, self.remedy = status, title, cause, remedy
        self.slug = self.name.lower().replace("_", "-")


class RequestRefused(Exception):
    """The request cannot be served, for a reason that its client can act on. The base of all errors in handler/."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        task_id: UUID | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.headers, self.task_id = kind, detail, headers, task_id
        self.errors = errors[:MAX_FIELD_ERRORS]
