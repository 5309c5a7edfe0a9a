# amaranth: UnusedElaboratable=no
"""Probes of node perturbation: what they replay are pre-activations of the unperturbed pass of the present sample and parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from amaranth.hdl import Assume, Cat, Module, Mux, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from rtl_gen.presentation.controller import PresentationController
from rtl_gen.presentation.neurons import NeuronStream
from tests.formal.harness import Bench, Induction, Opened, Property, always, control, opened, whichever
from tests.support.faults import DESIGNS

__all__ = ["PROPERTIES"]


class Replays(Bench):
    """The controller among free commands and answers: a replay begins only while the kept pre-activations are not stale.

    They are fresh from the end of an unperturbed pass on, until a sample is taken, the host writes a parameter, or errors are applied.
    """

    FREE = ("train", "infer", "stop", "restart", "loaded", "available", "started", "kept", "replay_done", "signs_ready")
    COUNTED = ("cost_stb", "settled_stb", "change_stb", "errors_busy", "errors_ready", "learned_stb", "count_en")

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.controller = PresentationController(spec, replay_wait=1)
        super().__init__({name: In(1) for name in (*self.FREE, *self.COUNTED)} | {"count": In(32)} | {"length": In(24)})

    def state(self, m: Module) -> None:
        controller = self.controller
        inner = opened(controller)
        m.submodules.controller = inner.module
        m.d.comb += [getattr(controller, name).eq(getattr(self, name)) for name in (*self.FREE, *self.COUNTED, "count")]
        m.d.comb += [getattr(controller, f"{name}_period").eq(self.length) for name in ("perturbation", "sample", "update")]
        run = inner.names["run"]
        states = Cat(run.idle, *(getattr(run, name) for name in run.STATES))
        # An unperturbed pass keeps its pre-activations once, after it has started, and before its cost is known.
        measures, fresh, passes = Signal(), Signal(), Signal(2)
        begins = controller.request & self.started & ~controller.apply & ~controller.probe
        m.d.comb += [
            Assume(~self.started | controller.request),
            Assume(~self.kept | measures),
            Assume(~(self.cost_stb & measures)),
            Assume(~self.loaded | ~controller.busy),
        ]
        m.d.sync += measures.eq(begins | (measures & ~self.kept))
        with m.If(self.kept):
            m.d.sync += [fresh.eq(1), passes.eq(passes + 1)]
        with m.If(controller.take | begins | self.loaded | controller.apply):
            m.d.sync += fresh.eq(0)
        always(m, ~controller.replay | fresh)
        # What induction needs: the state is one of them, and which ones have fresh pre-activations.
        always(m, states.any(), (states & (states - 1)) == 0)
        always(m, ~(run.prepare | run.replay | run.join | run.conclude) | fresh, ~measures | run.measure, ~controller.take | ~run.prepare)
        training = controller.training
        always(m, ~(run.begin & controller.take) | ~measures, ~controller.replay | run.replay, ~(run.measure & ~measures & training))
        self.reach(m, controller.replay & (passes == 2))


class Group:
    """A group of neurons, with the kind of its pass: 0 for an unperturbed one, 1 for the other layer of a probe.

    Attributes
    ----------
    kind, group, lane : Signal
        Kind, number within its pass, and lane of the last neuron that left, or leaves.
    any : Signal
        There has been such a group.
    """

    def __init__(self, groups: int, lanes: int, name: str):
        self.kind, self.any = Signal(name=f"{name}_kind"), Signal(name=f"{name}_any")
        self.group, self.lane = Signal(range(groups + 1), name=f"{name}_group"), Signal(range(lanes + 1), name=f"{name}_lane")


class Kept(Bench):
    """The stream of neurons, while unperturbed passes and replays follow one another: a replayed neuron has the pre-activation with which
    it left the lanes in the last unperturbed pass, whichever neuron it is, and whatever else has left them since."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.stream = NeuronStream(spec)
        self.count = spec.network.layers[0].n_out
        self.groups = -(-self.count // spec.hardware.lanes)
        names = ("begin", "last", "other", "replay", "bank")
        super().__init__({**{name: In(1) for name in names}, "accumulators": In(self.stream.accumulators.shape())})

    def state(self, m: Module) -> None:
        stream, groups, lanes = self.stream, self.groups, self.spec.hardware.lanes
        inner = opened(stream)
        m.submodules.stream = inner.module
        # Groups of a pass of the first layer that is unperturbed, or of another layer of a probe.
        kind, group, apart = Signal(), Signal(range(groups + 1), init=groups), Signal(range(8), init=7)
        layer = Mux(self.begin, self.other, kind)
        m.d.sync += apart.eq(Mux(self.last, 0, Mux(apart == 7, 7, apart + 1)))
        with m.If(self.begin):
            m.d.sync += [kind.eq(self.other), group.eq(0)]
        with m.Elif(self.last):
            m.d.sync += group.eq(group + 1)
        m.d.comb += [
            Assume(~(self.begin & self.last)),
            Assume(~self.begin | (group == groups)),
            Assume(~self.last | ((group < groups) & (apart >= lanes - 1))),
            *(stream.slot.begin.eq(self.begin), stream.slot.last.eq(self.last), stream.slot.real.eq(1)),
            *(stream.slot.tail.eq(group == groups - 1), stream.slot.layer.eq(layer), stream.slot.bank.eq(Mux(layer, self.bank, 2))),
            stream.accumulators.eq(self.accumulators),
        ]
        # The group whose accumulators are captured, one cycle after its last slot.
        sent = Group(groups, lanes, "sent")
        with m.If(self.last):
            m.d.sync += [sent.kind.eq(layer), sent.group.eq(group)]
        leaving = self._leaves(m, inner, sent, kind, group, apart)
        # The neuron that is followed: its pre-activation, and where it is on its way from the lanes to the memory.
        number, kept, taken = whichever(m, "neuron", range(self.count)), Signal(len(stream.z)), Signal()
        waits, comes, here = Signal(lanes), Signal(), Signal(lanes)
        take, found, z = (inner.names[name] for name in ("take", "found", "z"))
        m.d.comb += Assume(number < self.count)
        m.d.comb += here.eq(Cat((number == sent.group * lanes + lane) & take & ~sent.kind for lane in range(lanes)))
        m.d.sync += [waits.eq(waits >> 1 | here), comes.eq(waits[0])]
        for lane in range(lanes):
            with m.If(here[lane]):
                m.d.sync += [kept.eq(self.accumulators.word_select(lane, len(kept))), taken.eq(1)]
        self._waits(m, inner, leaving, number, kept, waits, comes)
        replayed = Signal()
        m.d.sync += replayed.eq(inner.names["replays"])
        mine = replayed & (found.index == number)
        always(m, ~mine | (taken & (z.as_unsigned() == kept)), ~replayed | ~found.bank[1])
        look, read = inner.names["store"].read_port(domain="comb"), inner.names["store"].read_ports[0].data
        m.d.comb += look.addr.eq(number)
        held = stream._held
        always(m, ~taken | waits.any() | comes | (look.data.as_unsigned() == kept))
        always(m, ~(inner.names["replays"] & (held.index == number)) | (read.as_unsigned() == kept))
        always(m, ~(leaving.any & ~leaving.kind & (number < (leaving.group + 1) * lanes)) | taken)
        self._passes(m, inner, sent, leaving, kind, group, taken)
        shown = Signal(2)
        m.d.sync += shown.eq(shown + (mine & kept.any() & (shown != 3)))
        self.reach(m, shown == 1)

    def _leaves(self, m: Module, inner: Opened, sent: Group, kind: Signal, group: Signal, apart: Signal) -> Group:
        """Assert which neuron leaves, which induction needs; return the group of the last neuron that left or leaves."""
        lanes, groups, layers = self.spec.hardware.lanes, self.groups, self.spec.layout.layers
        take, occupied, held = inner.names["take"], inner.names["occupied"], self.stream._held
        leaving = Group(groups, lanes, "leaving")
        active = Mux(leaving.group == groups - 1, Mux(leaving.kind, layers[1].last_lanes, layers[0].last_lanes), lanes)
        with m.If(take):
            m.d.sync += [leaving.kind.eq(sent.kind), leaving.group.eq(sent.group), leaving.any.eq(1)]
        # Cycles since the accumulators were captured, so the lane whose neuron leaves.
        now = leaving.lane
        m.d.sync += now.eq(Mux(take, 0, Mux(now == lanes, lanes, now + 1)))
        always(m, *(occupied[lane] == ((now + lane < active) & leaving.any) for lane in range(lanes)))
        always(m, take == (apart == 0), (apart == 0) | ~leaving.any | (now == Mux(apart > lanes, lanes, apart - 1)))
        always(m, ~leaving.any | (apart != 0) | (now >= lanes - 1), (apart == 7) | leaving.any | take)
        first = Mux(leaving.kind, self.count, 0) + leaving.group * lanes
        always(m, ~occupied[0] | ((held.index == first + now) & (held.layer == leaving.kind) & (held.bank[1] == ~leaving.kind)))
        after, begins = inner.names["after"], inner.names["begins"]
        always(m, ~leaving.any | (after == (first + Mux(now < active, now + 1, active))[: len(after)]))
        # Groups come in their order.
        follows = leaving.any & (leaving.kind == sent.kind) & (leaving.group == sent.group - 1)
        always(m, group <= groups, sent.group < groups, leaving.group < groups)
        always(m, (group == 0) | ((group == groups) & ~take & ~leaving.any) | ((kind == sent.kind) & (sent.group == group - 1)))
        always(m, (group == 0) | (group == groups) | take | leaving.any, now <= lanes)
        always(m, begins == ((group == 0) | (take & (sent.group == 0))), ~take | (sent.group == 0) | follows)
        always(m, ~((take & (sent.group == 0)) | (group == 0)) | ~leaving.any | (leaving.group == groups - 1))
        always(m, take | ~leaving.any | ((leaving.kind == sent.kind) & (leaving.group == sent.group)))
        return leaving

    def _waits(self, m: Module, inner: Opened, leaving: Group, number: Signal, kept: Signal, waits: Signal, comes: Signal) -> None:
        """Assert where the followed neuron is after its lane was captured, which induction needs."""
        lanes, names = self.spec.hardware.lanes, inner.names
        occupied, waiting, found, held = names["occupied"], names["waiting"], names["found"], self.stream._held
        for lane in range(lanes):
            due = occupied[lane] & ~leaving.kind & (number == leaving.group * lanes + leaving.lane + lane)
            always(m, waits[lane] == due, ~waits[lane] | (waiting[lane].as_unsigned() == kept))
        always(m, comes == (found.valid & found.bank[1] & (found.layer == 0) & (found.index == number)))
        always(m, ~comes | (names["z"].as_unsigned() == kept))
        always(m, ~names["replays"] | (~occupied[0] & ~held.bank[1] & (held.layer == 0)))

    def _passes(self, m: Module, inner: Opened, sent: Group, leaving: Group, kind: Signal, group: Signal, taken: Signal) -> None:
        """Begin replays once what an unperturbed pass keeps has been kept; they end before the next such pass. No pass begins before that
        either. Assert what is under way then, which induction needs."""
        stream, names, count, groups = self.stream, inner.names, self.count, self.groups
        whole, replaying, owed = Signal(), Signal(), Signal()
        m.d.comb += [stream.replay.eq(self.replay), stream.replay_bank.eq(self.bank)]
        m.d.comb += [Assume(~self.replay | (whole & ~replaying)), Assume(~(self.begin & ~self.other) | ~(replaying | self.replay))]
        with m.If(stream.kept):
            m.d.sync += [whole.eq(1), owed.eq(0)]
        with m.If(self.begin & ~self.other):
            m.d.sync += [whole.eq(0), owed.eq(1)]
        m.d.comb += Assume(~(self.begin & owed))
        m.d.sync += replaying.eq(self.replay | (replaying & ~stream.replay_done))
        take, occupied, found = (names[name] for name in ("take", "occupied", "found"))
        unperturbed = found.valid & found.bank[1]
        to_come = (~kind & (group < groups)) | (take & ~sent.kind) | (occupied.any() & ~leaving.kind)
        always(m, ~(to_come | unperturbed | stream.kept) | (owed & ~whole), ~whole | taken)
        always(m, ~stream.kept | ~(to_come | unperturbed), ~stream.kept | taken, ~unperturbed | (found.layer == 0))
        always(m, ~(unperturbed & (found.index == count - 1)) | (~to_come & taken))
        last = occupied[0] & ~leaving.kind & (leaving.group * self.spec.hardware.lanes + leaving.lane == count - 1)
        always(m, ~last | (~kind & (group == groups) & ~take & ~occupied[1:].any()))
        always(m, ~names["replaying"] | replaying, ~names["replays"] | replaying, ~replaying | whole, ~owed | ~whole)
        always(m, ~stream.replay_done | (~names["replaying"] & replaying))


_CONTROLLER, _STREAM = "presentation.controller:PresentationController", "presentation.neurons:NeuronStream"

PROPERTIES = (
    *(
        Property(
            f"replays of {name}",
            "presentation.controller",
            partial(Replays, DESIGNS[name]),
            Induction(4),
            28,
            (
                control(
                    "a probe before the pass has ended",
                    f"{_CONTROLLER}.elaborate",
                    "Mux(inferring, self.cost_stb, self.kept)",
                    "Mux(inferring, self.cost_stb, self.started)",
                    28,
                ),
                control(
                    "probes go on after a sample was taken",
                    f"{_CONTROLLER}._follow",
                    "run.begin.eq(taking | ",
                    "run.begin.eq((taking & inferring) | ",
                    28,
                ),
                control(
                    "probes follow their errors", f"{_CONTROLLER}._follow", "(run.apply & self.started) | (run.applied", "(run.applied", 28
                ),
            ),
        )
        for name in ("probes", "two_sided_probes")
    ),
    *(
        Property(
            f"kept pre-activations of {count} neurons",
            "presentation.neurons.NeuronStream",
            partial(Kept, replace(DESIGNS["probes"], network=replace(DESIGNS["probes"].network, sizes=(3, count, 2)))),
            Induction(2),
            20,
            (
                control(
                    "a probe's own pre-activations are kept",
                    f"{_STREAM}.elaborate",
                    "found.valid & is_unperturbed(found.bank) & self._is_kept(found)",
                    "found.valid",
                    20,
                ),
                control(
                    "the neighbour's pre-activation",
                    f"{_STREAM}.elaborate",
                    "kept.addr.eq(found.index)",
                    "kept.addr.eq(found.index ^ 1)",
                    20,
                ),
                control(
                    "replayed while a neuron leaves", f"{_STREAM}._replay", "going.eq(replaying & ~follows)", "going.eq(replaying)", 20
                ),
                control(
                    "kept a neuron too early", f"{_STREAM}.elaborate", "kept_neurons(self.spec) - 1)", "kept_neurons(self.spec) - 2)", 20
                ),
            ),
        )
        for count in (3, 4)
    ),
)
