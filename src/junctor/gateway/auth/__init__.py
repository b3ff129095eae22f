"""Who may call the gateway: API keys in a file, tokens of a Kubernetes cluster, or everybody.

CallersError    `--callers` cannot work: it names nothing known, or what it names is missing or broken; the message says what to do
"""

from junctor.gateway.auth.open_callers import AllowAll, open_callers
from junctor.gateway.auth.ports import ANONYMOUS, AuthenticationMiddleware, Caller, CallerKind, Callers, CallersError

__all__ = ["ANONYMOUS", "AllowAll", "AuthenticationMiddleware", "Caller", "CallerKind", "Callers", "CallersError", "open_callers"]
