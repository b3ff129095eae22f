"""`--callers none`: nobody is asked."""

from junctor.gateway.auth.ports import ANONYMOUS, Caller


class AllowAll:
    """Lets everybody in, whatever key is sent along: OpenAI's clients always send one."""

    async def identify(self, authorization: str | None) -> Caller:
        """Nobody in particular."""
        return ANONYMOUS

    async def close(self) -> None:
        """Nothing is held open."""
