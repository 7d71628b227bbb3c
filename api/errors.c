/* errors.c - the table of refusals and the switch over statuses: the one place where HTTP's numbers
 * meet ours. Pure; any thread. */
#include "api/errors.h"

static const char invalid_request[] = "invalid_request_error";
static const char overloaded[] = "overloaded_error";
static const char server_error[] = "server_error";
const char errors_writes_nothing[] =
    "this model makes vectors of texts and writes none: POST /v1/embeddings";
#define ROW(number, name, kind)                                                                    \
    {                                                                                              \
        .http = (number), .code = (name), .type = (kind)                                           \
    }

struct api_error errors_of_refusal(enum refusal refusal)
{
    static const struct api_error refusals[REFUSAL_COUNT] = {
        [REFUSAL_BAD_REQUEST] = ROW(400, "bad_request", invalid_request),
        [REFUSAL_NO_KEY] = ROW(401, "invalid_api_key", "authentication_error"),
        [REFUSAL_ORIGIN] = ROW(403, "forbidden_origin", "permission_error"),
        [REFUSAL_REMOTE] = ROW(403, "local_only", "permission_error"),
        [REFUSAL_NOT_FOUND] = ROW(404, "not_found", invalid_request),
        [REFUSAL_MODEL] = ROW(404, "model_not_found", invalid_request),
        [REFUSAL_METHOD] = ROW(405, "method_not_allowed", invalid_request),
        [REFUSAL_FINGERPRINT] = ROW(409, "fingerprint_mismatch", invalid_request),
        [REFUSAL_NO_LENGTH] = ROW(411, "length_required", invalid_request),
        [REFUSAL_BODY] = ROW(413, "body_too_large", invalid_request),
        [REFUSAL_ENCODING] = ROW(415, "unsupported_encoding", invalid_request),
        [REFUSAL_EXPECTATION] = ROW(417, "unsupported_expectation", invalid_request),
        [REFUSAL_QUEUE_FULL] = ROW(429, "queue_full", overloaded),
        [REFUSAL_TOO_LATE] = ROW(429, "deadline_unmeetable", overloaded),
        [REFUSAL_PROFILING] = ROW(429, "profile_running", overloaded),
        [REFUSAL_HEADERS] = ROW(431, "headers_too_large", invalid_request),
        [REFUSAL_INTERNAL] = ROW(500, "internal_error", server_error),
        [REFUSAL_LOADING] = ROW(503, "loading", overloaded),
        [REFUSAL_DRAINING] = ROW(503, "draining", overloaded),
        [REFUSAL_CONNECTIONS] = ROW(503, "too_many_connections", overloaded),
        [REFUSAL_BODY_MEMORY] = ROW(503, "body_memory_full", overloaded),
        [REFUSAL_VERSION] = ROW(505, "unsupported_http_version", invalid_request),
    };
    return refusals[refusal < REFUSAL_COUNT ? refusal : REFUSAL_INTERNAL];
}

struct api_error errors_of_status(enum status status)
{
    switch (status) {
    case STATUS_FORMAT:
        return (struct api_error)ROW(400, "invalid_json", invalid_request);
    case STATUS_INVALID:
        return (struct api_error)ROW(400, "invalid_value", invalid_request);
    case STATUS_UNSUPPORTED:
        return (struct api_error)ROW(400, "unsupported_value", invalid_request);
    case STATUS_UNABLE:
        return (struct api_error)ROW(501, "not_supported_by_model", invalid_request);
    case STATUS_CONTEXT:
        return (struct api_error)ROW(400, "context_length_exceeded", invalid_request);
    case STATUS_TOO_LARGE:
        return errors_of_refusal(REFUSAL_BODY);
    case STATUS_FULL:
        return errors_of_refusal(REFUSAL_QUEUE_FULL);
    case STATUS_TOO_LATE:
        return errors_of_refusal(REFUSAL_TOO_LATE);
    case STATUS_STOPPING:
    case STATUS_CANCELLED: /* accepted, and then not finished */
        return errors_of_refusal(REFUSAL_DRAINING);
    case STATUS_NO_MEMORY:
        return (struct api_error)ROW(503, "out_of_memory", overloaded);
    case STATUS_OK:
    case STATUS_IO:
    case STATUS_INTERNAL:
        break;
    }
    return errors_of_refusal(REFUSAL_INTERNAL);
}

struct api_error errors_of_job(const struct job *job)
{
    return errors_of_status(job->finish == FINISH_CANCELLED ? STATUS_CANCELLED : job->error.status);
}
