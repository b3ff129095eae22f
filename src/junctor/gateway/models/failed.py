"""What the caller is told when a model server could not be used."""

from junctor.gateway.models.ports import UpstreamError
from junctor.gateway.web.errors import ApiError


class ModelFailed(ApiError):
    """The model server said no, broke, or is gone."""

    def __init__(self, reason: UpstreamError) -> None:
        headers = {} if reason.retry_after is None else {"Retry-After": str(reason.retry_after)}
        super().__init__(str(reason), status=reason.status, code=reason.code, param=reason.param, headers=headers)
