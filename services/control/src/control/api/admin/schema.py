"""Bodies of the admin API, as its OpenAPI document shows them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from control.domain.model import Change, Definition, Key, Written

Instant = Annotated[datetime, PlainSerializer(lambda at: at.isoformat().replace("+00:00", "Z"), return_type=str)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewKeyBody(_Body):
    """A key to make."""

    name: str = Field(
        description="Who it is for, the subject of its calls: 1 to 63 of a-z 0-9 . _ -.", examples=["shop"]
    )
    tenant: str = Field("default", description="Tenant of its calls: 1 to 63 of a-z 0-9 -.")
    scopes: list[Literal["read", "infer", "write", "admin", "*"]] = Field(
        ["read", "infer", "write"],
        description="What it may do. `*` is read, infer and write; `admin`, the scope of this API, has to be named.",
    )
    expires: AwareDatetime | None = Field(
        None, description="Instant with an offset at which it ends by itself; null: never."
    )


class KeyBody(_Body):
    """A key, as far as anybody can see it."""

    id: str = Field(description="UUIDv7.")
    name: str = Field(description="Who it is for.")
    tenant: str = Field(description="Tenant of its calls.")
    scopes: list[str] = Field(description="What it may do.")
    created: Instant = Field(description="When it was made.")
    created_by: str = Field(description="Who made it.")
    expires: Instant | None = Field(description="When it ends by itself; null: never.")
    revoked: Instant | None = Field(description="Since when it is refused; null: it is in force.")
    revoked_by: str = Field(description="Who revoked it; empty while it is in force.")

    @classmethod
    def of(cls, key: Key) -> "KeyBody":
        """Without the hash."""
        return cls(
            id=key.id, name=key.name, tenant=key.tenant, scopes=list(key.scopes), created=_instant(key.created_us),
            created_by=key.created_by, expires=_known(key.expires_us), revoked=_known(key.revoked_us),
            revoked_by=key.revoked_by,
        )  # fmt: skip


class MadeKeyBody(_Body):
    """A key that was made now."""

    key: str = Field(description="The key itself. It is stored nowhere, and shown this once.")
    about: KeyBody = Field(description="What stays known of it.")


class KeysBody(_Body):
    """A page of keys."""

    keys: list[KeyBody] = Field(description="Oldest first.")
    next: str = Field(description="`after` of the next page; empty on the last one.")


class DefinitionBody(_Body):
    """A definition as it is stored."""

    kind: str = Field(description="FeatureView, InferenceService, Collection or Endpoint.")
    name: str = Field(description="metadata.name.")
    revision: str = Field(description="Changes with every change of it.")
    manifest: dict[str, Any] = Field(
        description="The object. Sent back with its metadata.resourceVersion, it is only taken where nobody changed it since."
    )

    @classmethod
    def of(cls, definition: Definition) -> "DefinitionBody":
        """With the revision in its metadata, as Kubernetes does it."""
        metadata = {**definition.manifest["metadata"], "resourceVersion": definition.revision}
        manifest = {**definition.manifest, "metadata": metadata}
        return cls(kind=definition.kind, name=definition.name, revision=definition.revision, manifest=manifest)


class DefinitionsBody(_Body):
    """All definitions that can be read."""

    definitions: list[DefinitionBody] = Field(description="By kind and name.")


class WrittenBody(_Body):
    """What became of one definition."""

    kind: str = Field(description="Its kind.")
    name: str = Field(description="Its name.")
    effect: Literal["created", "changed", "unchanged", "removed"] = Field(
        description="What happened, or would with dry_run."
    )
    revision: str = Field(description="Its revision now; of one that is removed, the last one.")

    @classmethod
    def of(cls, written: Written) -> "WrittenBody":
        """The same."""
        return cls(kind=written.kind, name=written.name, effect=written.effect, revision=written.revision)


class AppliedBody(_Body):
    """What became of the definitions that were sent."""

    definitions: list[WrittenBody] = Field(description="In the order in which they were written.")


class ChangeBody(_Body):
    """An entry of the audit log."""

    id: str = Field(description="UUIDv7; later changes have greater ones.")
    request_id: str = Field(description="`x-request-id` of the answer to the call that asked for it.")
    at: Instant = Field(description="When it was asked for.")
    tenant: str = Field(description="Tenant of who asked.")
    subject: str = Field(description="Name of the key that asked; `admin`: the installation's own.")
    action: str = Field(description="key.create, key.revoke, definition.put or definition.remove.")
    object: str = Field(description="`key TENANT/NAME`, or `KIND/NAME` of a definition.")
    outcome: Literal["begun", "done", "refused", "failed"] = Field(
        description="begun: control ended in the middle, and the change may have been made or not."
    )
    detail: dict[str, Any] = Field(description="What it was about; never a key or a hash.")

    @classmethod
    def of(cls, change: Change) -> "ChangeBody":
        """The same."""
        return cls(
            id=change.id, request_id=change.request_id, at=_instant(change.at_us), tenant=change.tenant,
            subject=change.subject, action=change.action, object=change.object, outcome=change.outcome.value,
            detail=dict(change.detail),
        )  # fmt: skip


class AuditBody(_Body):
    """A page of the audit log."""

    changes: list[ChangeBody] = Field(description="The latest first.")
    next: str = Field(description="`before` of the next page; empty on the last one.")


class FaultBody(_Body):
    """One thing that is wrong with a definition."""

    line: int = Field(description="Line of the body, from 1; 0 where the fault is in no line.")
    kind: str = Field(description="Kind of the definition.")
    name: str = Field(description="Name of the definition.")
    field: str = Field(description="Place in the definition.")
    reason: str = Field(description="What is wrong.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="Page that explains the code.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong and how to mend it.")
    code: str = Field(description="The gRPC status code's name.")
    reason: str = Field(description="Stable name of the cause.")
    request_id: str = Field(description="Of this request; the logs and the audit log have it.")
    field: str | None = Field(None, description="Place in the request.")
    ids: dict[str, str] | None = Field(None, description="Names of the things involved.")
    faults: list[FaultBody] | None = Field(None, description="All that is wrong with the definitions of the body.")


def _instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)


def _known(at_us: int | None) -> datetime | None:
    return None if at_us is None else _instant(at_us)
