"""One JSON object a line on stdout, from our own loggers and from libraries alike."""

import logging
import sys
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]
_NOISY = ("grpc", "grpc._cython.cygrpc", "asyncio", "uvicorn", "uvicorn.error", "pygrpc_native", "httpx", "urllib3")


def setup(service: str, level: str) -> None:
    """Makes every log line of this process JSON with `service` in it. level: debug, info, warning or error."""
    number = logging.getLevelNamesMapping()[level.upper()]

    def name_service(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["service"] = service
        if "source" in event:
            event["logger"] = event.pop("source")  # get_logger itself takes no value of that name
        return event

    render: list[Any] = [name_service, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*_SHARED, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry ``logger=name``. Values go in keyword arguments, never into the event's text."""
    made: structlog.typing.FilteringBoundLogger = structlog.get_logger(source=name)
    return made
