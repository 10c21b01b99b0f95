"""The endpoints that are loaded now."""

from collections.abc import Mapping, Sequence

from chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from gateway.domain.plans import EndpointPlan, Field, Route, ViewPlan

PAGE, MAX_PAGE = 100, 1000


class Endpoints:
    """Plans by name, swapped whole when definitions change: a request sees one state of them."""

    def __init__(self) -> None:
        self._plans: Mapping[str, EndpointPlan] = {}
        self._models: dict[str, str] = {}
        self._views: Mapping[str, ViewPlan] = {}
        self._fields: dict[tuple[str, ...], tuple[tuple[Field, ...], tuple[Field, ...]]] = {}

    def swap(
        self,
        plans: Mapping[str, EndpointPlan],
        views: Mapping[str, ViewPlan],
        services: Sequence[str],
        named: Sequence[Route],
    ) -> None:
        """New definitions: plans, feature views by reference name, InferenceServices, and models named apart."""
        models = {name: name for name in services}
        routes = [*named, *(route for plan in plans.values() for route in _routes(plan))]
        models.update({route.model: route.service for route in routes})
        self._plans, self._views, self._models, self._fields = dict(plans), dict(views), models, {}

    def get(self, name: str) -> EndpointPlan:
        """NotFound when there is none; FailedPrecondition when it refers to what does not exist."""
        plan = self._plans.get(name)
        if plan is None:
            raise NotFound(f"there is no endpoint {name}", reason="ENDPOINT_NOT_FOUND", ids={"endpoint": name})
        return plan

    def examples(self) -> dict[str, Mapping[str, object]]:
        """Of each endpoint that can run, a request body that works as it stands."""
        return {name: plan.example for name, plan in sorted(self._plans.items()) if plan.example and not plan.broken}

    def deadline_s(self, name: str, default_s: float) -> float:
        """The endpoint's declared deadline, or the default for a name that does not exist."""
        plan = self._plans.get(name)
        return default_s if plan is None else plan.deadline_s

    def runnable(self, name: str) -> EndpointPlan:
        """`get`, and FailedPrecondition when the plan cannot run."""
        plan = self.get(name)
        if plan.broken:
            raise FailedPrecondition(
                f"endpoint {name} cannot answer: {plan.broken}", reason="ENDPOINT_BROKEN", ids={"endpoint": name}
            )
        return plan

    def page(self, page_size: int, page_token: str) -> tuple[list[EndpointPlan], str]:
        """Plans by name after the token, and the next token (empty: the last page)."""
        names = sorted(name for name in self._plans if name > page_token)
        size = page_size_of(page_size)
        token = names[size - 1] if len(names) > size else ""
        return [self._plans[name] for name in names[:size]], token

    def fields_of(self, references: tuple[str, ...]) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        """Entities and inputs that the views of these references read. NotFound for an unknown view."""
        found = self._fields.get(references)
        if found is None:
            found = self._find_fields(references)
            if len(self._fields) >= 256:
                self._fields.clear()
            self._fields[references] = found
        return found

    def _find_fields(self, references: tuple[str, ...]) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
        entities: dict[str, Field] = {}
        inputs: dict[str, Field] = {}
        for index, reference in enumerate(references):
            view = self._views.get(reference.partition(":")[0])
            if view is None:
                message = f"features[{index}]: there is no feature view {reference.partition(':')[0]}"
                raise NotFound(message, reason="FEATURE_VIEW_NOT_FOUND", field=f"features[{index}]")
            entities.update({field.name: field for field in view.entities})
            inputs.update({field.name: field for field in view.inputs})
        return tuple(entities.values()), tuple(inputs.values())

    def models(self) -> list[str]:
        """Names of the models that can be inferred, sorted."""
        return sorted(self._models)

    def service_of(self, model: str) -> str:
        """The InferenceService that serves a model. NotFound when no definition names it."""
        service = self._models.get(model)
        if service is None:
            raise NotFound(f"there is no model {model}", reason="MODEL_NOT_FOUND", ids={"model": model})
        return service


def _routes(plan: EndpointPlan) -> tuple[Route, ...]:
    return plan.routes if plan.shadow is None else (*plan.routes, plan.shadow)


def page_size_of(page_size: int) -> int:
    """0 = PAGE; at most MAX_PAGE. InvalidArgument otherwise."""
    if not 0 <= page_size <= MAX_PAGE:
        raise InvalidArgument(f"page_size must be 1 to {MAX_PAGE}", reason="INVALID_VALUE", field="page_size")
    return page_size or PAGE
