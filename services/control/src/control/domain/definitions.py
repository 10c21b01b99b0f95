"""Changes of definitions: examined as a whole, written one by one, each with its entry in the audit log."""

from collections.abc import Sequence
from dataclasses import replace

from chassis.errors import FailedPrecondition, InvalidArgument, MizzenError, NotFound
from control.domain.model import Admin, Change, Definition, Draft, Fault, Outcome, Written
from control.domain.ports import AuditLog, Clock, Definitions, Ids, Metrics

# What others refer to comes first, so that at no time a definition refers to what is not there yet.
ORDER = ("FeatureView", "InferenceService", "Collection", "Endpoint")
MOST_TOLD = 20


class DefinitionsRefused(InvalidArgument):
    """Nothing was changed; `faults` are all that is wrong."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        more = f"; and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
        told = "; ".join(map(str, faults[:MOST_TOLD]))
        super().__init__(f"{told}{more}", reason="DEFINITION_REFUSED", field=faults[0].field or None)
        self.faults = tuple(faults)


class Editing:
    """What admins do with definitions."""

    def __init__(self, definitions: Definitions, audit: AuditLog, clock: Clock, ids: Ids, metrics: Metrics) -> None:
        self._definitions, self._audit = definitions, audit
        self._clock, self._ids, self._metrics = clock, ids, metrics

    async def stored(self) -> list[Definition]:
        """All definitions that can be read, by kind and name."""
        return await self._definitions.stored()

    async def get(self, kind: str, name: str) -> Definition:
        """NotFound where there is none."""
        found = await self._find(kind, name)
        if found is None:
            raise NotFound(
                f"there is no {kind} {name}", reason="DEFINITION_NOT_FOUND", ids={"kind": kind, "name": name}
            )
        return found

    async def apply(self, admin: Admin, text: bytes, *, dry_run: bool = False) -> list[Written]:
        """Puts every definition of the text, or none where one is wrong. An error in the middle names what was put before it."""
        drafts, faults = self._definitions.parse(text)
        if not drafts and not faults:
            raise InvalidArgument("the body holds no definition", reason="NO_DEFINITION")
        faults = faults or await self._definitions.examine(drafts)
        if faults:
            await self._note_refusals(admin, drafts, faults, dry_run=dry_run)
            raise DefinitionsRefused(faults)
        before = {(each.kind, each.name): each for each in await self._definitions.stored()}
        written: list[Written] = []
        for draft in sorted(drafts, key=lambda each: (ORDER.index(each.kind), each.name)):
            there = before.get((draft.kind, draft.name))
            try:
                written.append(await self._put(admin, draft, there, dry_run=dry_run))
            except MizzenError as error:
                _tell_written(error, written)
                raise
        return written

    async def remove(self, admin: Admin, kind: str, name: str, revision: str | None) -> Written:
        """NotFound where there is none; FailedPrecondition where another definition needs it."""
        there = await self.get(kind, name)
        faults = await self._definitions.examine((), (there,))
        change = self._change(admin, "definition.remove", kind, name, {"revision": there.revision})
        if faults:
            await self._note(change, Outcome.REFUSED, reason=str(faults[0]))
            needing = ", ".join(sorted({f"{fault.kind} {fault.name}" for fault in faults}))
            message = f"{kind} {name} is needed by {needing}: remove or change these first"
            raise FailedPrecondition(message, reason="DEFINITION_NEEDED", ids={"kind": kind, "name": name})
        await self._audit.append(replace(change, outcome=Outcome.BEGUN))
        try:
            await self._definitions.remove(kind, name, revision)
        except MizzenError as error:
            await self._note(change, Outcome.FAILED, reason=error.message)
            raise
        await self._note(change, Outcome.DONE)
        return Written(kind, name, "removed", there.revision)

    async def _put(self, admin: Admin, draft: Draft, there: Definition | None, *, dry_run: bool) -> Written:
        effect = "created" if there is None else "unchanged" if draft.is_as(there) else "changed"
        revision = there.revision if there else ""
        if (draft.revision is None and effect == "unchanged") or dry_run:
            return Written(draft.kind, draft.name, effect, revision)
        change = self._change(admin, "definition.put", draft.kind, draft.name, {"effect": effect, "before": revision})
        await self._audit.append(replace(change, outcome=Outcome.BEGUN))
        try:
            revision = await self._definitions.put(draft)
        except MizzenError as error:
            await self._note(change, Outcome.FAILED, reason=error.message)
            raise
        if there is not None and revision == there.revision:
            effect = "unchanged"  # but for what the store fills in by itself
        await self._note(change, Outcome.DONE, effect=effect, after=revision)
        return Written(draft.kind, draft.name, effect, revision)

    async def _find(self, kind: str, name: str) -> Definition | None:
        stored = await self._definitions.stored()
        return next((each for each in stored if (each.kind, each.name) == (kind, name)), None)

    async def _note_refusals(self, admin: Admin, drafts: list[Draft], faults: list[Fault], *, dry_run: bool) -> None:
        if dry_run:
            return
        reason = str(faults[0])
        named = sorted(
            {(draft.kind, draft.name) for draft in drafts}
            | {(fault.kind, fault.name) for fault in faults if fault.name}
        )
        for kind, name in named or [("", "")]:
            await self._note(self._change(admin, "definition.put", kind, name, {}), Outcome.REFUSED, reason=reason)

    async def _note(self, change: Change, outcome: Outcome, **detail: str) -> None:
        await self._audit.append(replace(change, outcome=outcome, detail={**change.detail, **detail}))
        self._metrics.changed(change.action, outcome)

    def _change(self, admin: Admin, action: str, kind: str, name: str, detail: dict[str, object]) -> Change:
        return Change(
            self._ids.new(), admin.request_id, self._clock.now_us(), admin.tenant, admin.subject, action,
            f"{kind}/{name}", Outcome.BEGUN, detail,
        )  # fmt: skip


def _tell_written(error: MizzenError, written: Sequence[Written]) -> None:
    """Nobody should have to guess how far a change of several definitions came."""
    if written:
        done = ", ".join(f"{each.kind} {each.name}" for each in written)
        error.message = f"{error.message}; written before: {done}"
