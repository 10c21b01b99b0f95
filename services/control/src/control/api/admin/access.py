"""Who the guard let in."""

from typing import Annotated

from fastapi import Depends, Request

from control.domain.model import Admin


def _admin(request: Request) -> Admin:
    found: Admin = request.state.admin
    return found


CurrentAdmin = Annotated[Admin, Depends(_admin)]
