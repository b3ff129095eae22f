"""An API server that does nothing but review tokens, and tokens that nobody issued."""

import asyncio
import itertools
import json
import secrets
import time

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class ApiServer:
    """Reviews tokens after 10 ms: those that it issued are good. made_up: when it was asked for others."""

    def __init__(self) -> None:
        self.issued: set[str] = set()
        self.made_up: list[float] = []

    def issue(self) -> str:
        """A new token of the application."""
        token = made_up_token("system:serviceaccount:team-a:app")
        self.issued.add(token)
        return token

    def app(self) -> Starlette:
        """The server."""
        return Starlette(routes=[Route("/apis/authentication.k8s.io/v1/tokenreviews", self._review, methods=["POST"])])

    async def _review(self, request: Request) -> JSONResponse:
        body = await request.json()
        good = body["spec"]["token"] in self.issued
        if not good:
            self.made_up.append(time.monotonic())
        await asyncio.sleep(0.01)
        user = {"username": "system:serviceaccount:team-a:app"}
        status = {"authenticated": True, "user": user, "audiences": ["junctor"]} if good else {"user": {}}
        return JSONResponse(body | {"status": status}, status_code=201)

    @property
    def most_in_a_second(self) -> int:
        """The largest number of reviews of made-up tokens within a second."""
        ends = itertools.accumulate(
            self.made_up, lambda end, at: next(i for i in range(end, len(self.made_up)) if self.made_up[i] > at - 1), initial=0
        )
        return max((position - start for position, start in enumerate(ends)), default=0)


def made_up_token(subject: str) -> str:
    """A token for the gateway, well formed, that nobody issued."""
    claims = {"iss": "https://cluster", "sub": subject, "aud": ["junctor"], "exp": int(time.time()) + 3600, "jti": secrets.token_hex(8)}
    return jwt.encode(claims, "a key that nobody knows, of 32 bytes", algorithm="HS256")


def kubeconfig_of(url: str) -> str:
    """A kubeconfig for the API server at `url`."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "gateway"}}],
        "current-context": "c",
    }
    return json.dumps(config)
