"""Who may call the gateway: API keys in a file, tokens of a Kubernetes cluster, or everybody.

CallersError    `--callers` cannot work: it names nothing known, or what it names is missing or broken; the message says what to do
"""

from junctor.gateway.callers.everybody import Everybody
from junctor.gateway.callers.gate import CallersGate
from junctor.gateway.callers.opening import open_callers
from junctor.gateway.callers.ports import ANONYMOUS, Caller, CallerKind, Callers, CallersError

__all__ = ["ANONYMOUS", "Caller", "CallerKind", "Callers", "CallersError", "CallersGate", "Everybody", "open_callers"]
