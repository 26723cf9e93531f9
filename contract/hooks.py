"""What the contract's check needs beyond the document: nobody waits for a minute for jobs that never come, and a stream of jobs
is written and read a line at a time."""

import json

import schemathesis

WAIT_MS_MAX = 50


def shorten(holder):
    """A wait that is allowed stays allowed, and is over soon. Others are left as wrong as they are."""
    if not isinstance(holder, dict):
        return
    wait_ms = holder.get("wait_ms")
    if type(wait_ms) is int and WAIT_MS_MAX < wait_ms <= 60_000:
        holder["wait_ms"] = WAIT_MS_MAX
    if isinstance(wait_ms, str) and wait_ms.isdigit() and WAIT_MS_MAX < int(wait_ms) <= 60_000:
        holder["wait_ms"] = str(WAIT_MS_MAX)
    shorten(holder.get("lease"))


@schemathesis.hook
def before_call(context, case, kwargs):
    shorten(case.body)
    shorten(case.query)


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """The document describes one line of the stream."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer("application/x-ndjson")
def first_line(ctx, response):
    """And one line of the answer: the first, which is the only one that was asked for."""
    return json.loads(response.content.split(b"\n", 1)[0])
