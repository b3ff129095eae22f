"""Everything that the loop keeps for one gateway."""

from dataclasses import dataclass, field, replace
from functools import partial

from junctor.api.configuration import GatewaySpec
from junctor.planning.inputs import Inputs
from junctor.planning.plan import GatewayPlan, PlanCache, PlanMemory, plan_gateway, planning_effort
from junctor.planning.readiness import GatewayProgress
from junctor.process import MANY, in_thread
from junctor.reconcile.ports import ObjectReference
from junctor.reconcile.publisher import MapPublisher
from junctor.reconcile.signaller import Signaller


@dataclass(slots=True)
class GatewayState:
    """The loop's parts for one gateway, and how far it is.

    published_at: when the last head was written, on the loop's clock. is_surveyed: whether its pods reported what they serve, for a
    start without a head.
    """

    configuration: GatewaySpec
    publisher: MapPublisher
    signaller: Signaller
    plan: GatewayPlan | None = None
    published_at: float = 0.0
    is_surveyed: bool = False
    plan_cache: PlanCache = field(default_factory=PlanCache)

    @property
    def map_name(self) -> str:
        """The map for people: `namespace/name`."""
        return f"{self.configuration.namespace}/{self.configuration.map}"

    @property
    def all_acknowledged(self) -> bool:
        """Whether every ready pod serves the published map."""
        return self.signaller.all_acknowledged(self.publisher.sequence)

    @property
    def may_clean_up(self) -> bool:
        """Whether something is old and nobody reads it any more."""
        return self.plan is not None and self.all_acknowledged and self.publisher.needs_clean_up(self.plan)

    @property
    def head_reference(self) -> ObjectReference | None:
        """The head of the map, for Events; None when there is none."""
        head = self.publisher.stored_head
        return ObjectReference("v1", "ConfigMap", self.configuration.namespace, head.name, head.uid) if head else None

    def settles_in(self, now: float, settle: float) -> float:
        """Seconds that the pods still have to acknowledge, of `settle` after the publication, before a report says that they did not."""
        return 0.0 if self.all_acknowledged else self.published_at + settle - now

    async def make_plan(self, inputs: Inputs, now: float) -> GatewayPlan:
        """Plan on what is published. In a thread where that is long work: the loop has other things to do."""
        published = self.publisher.published
        memory = self.plan.memory if self.plan is not None else PlanMemory()
        make = partial(plan_gateway, self.configuration, inputs, published, memory, now, self.plan_cache)
        self.plan = await in_thread(make) if planning_effort(inputs, published) > MANY else make()
        return self.plan

    def note_published(self, now: float) -> None:
        """A plan was published: registries pay for what was written on their account."""
        self.published_at = now
        if self.plan is not None:
            written, memory = self.publisher.rewritten, self.plan.memory
            self.plan = replace(self.plan, memory=replace(memory, rewrites=memory.rewrites.spent(written.bytes, written.total, now)))

    def progress(self) -> GatewayProgress:
        """How far the gateway is with its plan."""
        if self.plan is None:
            raise RuntimeError(f"gateway {self.configuration.name} has no plan yet")
        return self.publisher.progress(self.plan, self.signaller.progress())
