"""Reads a registry with nothing but httpx and json, page after page; prints seconds, records and pages as JSON. The floor of a sync."""

import json
import sys
import time

import httpx


def main(url: str) -> None:
    began, cursor, records, pages = time.monotonic(), None, 0, 0
    with httpx.Client(timeout=60.0, trust_env=False) as client:
        while True:
            query = {"version": "latest", "limit": "100"} | ({"cursor": cursor} if cursor else {})
            page = json.loads(client.get(f"{url}/v0.1/servers", params=query).content)
            records, pages = records + len(page["servers"]), pages + 1
            cursor = page["metadata"].get("nextCursor")
            if not cursor:
                break
    print(json.dumps({"seconds": time.monotonic() - began, "records": records, "pages": pages}))


if __name__ == "__main__":
    main(sys.argv[1])
