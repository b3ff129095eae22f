"""Everything that the loop keeps for one gateway."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from junctor.api.configuration import GatewaySpec
from junctor.api.names import CONNECTOR_KIND, REGISTRY_KIND
from junctor.api.resources import RegistryResource
from junctor.planning.inputs import Inputs
from junctor.planning.losses import Hold
from junctor.planning.plan import GatewayPlan, Planner
from junctor.planning.readiness import GatewayProgress
from junctor.process import MANY, in_thread
from junctor.reconcile.ports import Unavailable
from junctor.reconcile.publisher import MapPublisher
from junctor.reconcile.registry_memory import RegistryToSync
from junctor.reconcile.signaller import Signaller
from junctor.reconcile.snapshot import Snapshot

#: Seconds after a publication in which pods that have not answered are not reported: normally all answer sooner.
SETTLE_SECONDS: Final = 0.5


@dataclass(slots=True)
class GatewayState:
    """The loop's parts for one gateway, and how far it is. published_at: on the loop's clock."""

    configuration: GatewaySpec
    planner: Planner
    publisher: MapPublisher
    signaller: Signaller
    plan: GatewayPlan | None = None
    published_at: float = 0.0
    held: Hold | None = None
    surveyed: bool = False

    def settles_in(self, now: float) -> float:
        """Seconds that the pods still have to acknowledge before a report says that they did not."""
        if self.signaller.all_acknowledged(self.publisher.sequence):
            return 0.0
        return self.published_at + SETTLE_SECONDS - now

    async def make_plan(self, inputs: Inputs, now: float) -> GatewayPlan:
        """Plan on what is published. In a thread where that is long work: the loop has other things to do."""
        published = self.publisher.published
        if self.planner.effort(inputs, published) > MANY:
            self.plan = await in_thread(partial(self.planner.plan, inputs, published, now))
        else:
            self.plan = self.planner.plan(inputs, published, now)
        return self.plan

    @property
    def may_clean_up(self) -> bool:
        """Whether something is old and nobody reads it any more."""
        acknowledged = self.signaller.all_acknowledged(self.publisher.sequence)
        return acknowledged and self.plan is not None and self.publisher.needs_clean_up(self.plan)

    def check_memory(self, inputs: Inputs) -> None:
        """Publish nothing when it is known neither which resources there are nor what was published of them: that is not an empty map."""
        publisher = self.publisher
        if not inputs.registries_known and publisher.forgotten and publisher.head is not None and publisher.head.registries:
            raise Unavailable(f"{REGISTRY_KIND} resources cannot be listed and the published map is damaged; gateways keep what they serve")
        if not inputs.connectors_known and (publisher.forgotten or (publisher.head is None and self.signaller.highest > 0)):
            raise Unavailable(f"{CONNECTOR_KIND}s cannot be listed and the published map is damaged; gateways keep what they serve")

    def progress(self) -> GatewayProgress:
        """How far the gateway is with its plan."""
        if self.plan is None:
            raise RuntimeError(f"gateway {self.configuration.name} has no plan yet")
        publisher = self.publisher
        return GatewayProgress(
            gateway=self.configuration.name,
            entries=publisher.published.entries,
            sequence=publisher.sequence,
            pods=self.signaller.progress(),
            removed=publisher.removed,
            failure=publisher.failure,
            discovered=publisher.discovered_since(self.plan),
            verdicts=self.plan.verdicts,
            sequence_at_start=publisher.baseline,
        )


def registries_to_read(gateways: Iterable[GatewayState], snapshot: Snapshot) -> dict[str, RegistryToSync]:
    """The registries to read: those that some gateway publishes, each with what is known of it from before this process began."""
    wanted: dict[str, RegistryToSync] = {}
    for gateway in gateways:
        for uid, verdict in gateway.plan.verdicts.items() if gateway.plan and gateway.publisher.loaded else ():
            resource = verdict.resource
            if not isinstance(resource, RegistryResource) or verdict.entry is None:
                continue
            record = gateway.publisher.published.records.get(verdict.id, {})
            own = record.get("uid") == uid
            servers = gateway.publisher.published.discovered.get(verdict.id, {}) if own else {}
            if uid in wanted and len(servers) <= len(wanted[uid].published):
                continue  # the gateway that knows most is the memory
            tracked = snapshot.tracked(uid)
            wanted[uid] = RegistryToSync(resource, tracked.status if tracked else {}, record if own else {}, servers)
    return wanted
