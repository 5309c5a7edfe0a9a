# amaranth: UnusedElaboratable=no
"""Probes of node perturbation: what they replay are pre-activations of the unperturbed pass of the present sample and parameters."""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Assume, Cat, Module, Mux, Signal
from amaranth.lib.wiring import In

from python_ref.spec.design import DesignSpec
from rtl_gen.presentation.controller import PresentationController
from rtl_gen.presentation.neurons import NeuronStream
from tests.formal.harness import Bench, Bounded, Induction, Property, always, control, opened, whichever
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


class Kept(Bench):
    """The stream of neurons, while unperturbed passes and replays follow one another: a replayed neuron has the pre-activation with which
    it left the lanes in the last unperturbed pass, whichever neuron it is, and whatever else has left them since."""

    def __init__(self, spec: DesignSpec):
        self.spec = spec
        self.stream = NeuronStream(spec)
        names = ("begin", "last", "other", "replay", "bank")
        super().__init__({**{name: In(1) for name in names}, "accumulators": In(self.stream.accumulators.shape())})

    def state(self, m: Module) -> None:
        spec, stream = self.spec, self.stream
        inner = opened(stream)
        m.submodules.stream = inner.module
        lanes, width, count = spec.hardware.lanes, spec.accumulator_width, spec.network.layers[0].n_out
        groups = -(-count // lanes)
        # Groups of a pass of the first layer that is unperturbed, or of another layer of a probe.
        kind, group, apart = Signal(), Signal(range(groups + 1), init=groups), Signal(range(8))
        first = Mux(self.begin, self.other, kind)
        m.d.sync += apart.eq(Mux(self.last, 0, Mux(apart == 7, 7, apart + 1)))
        with m.If(self.begin):
            m.d.sync += [kind.eq(self.other), group.eq(0)]
        with m.Elif(self.last):
            m.d.sync += group.eq(group + 1)
        tail = group == groups - 1
        m.d.comb += [
            Assume(~(self.begin & self.last)),
            Assume(~self.begin | (group == groups)),
            Assume(~self.last | ((group < groups) & (apart >= lanes))),
            *(stream.slot.begin.eq(self.begin), stream.slot.last.eq(self.last), stream.slot.real.eq(1), stream.slot.tail.eq(tail)),
            *(stream.slot.layer.eq(first), stream.slot.bank.eq(Mux(first, self.bank, 2)), stream.accumulators.eq(self.accumulators)),
        ]
        # A replay begins once what an unperturbed pass keeps has been kept, and ends before the next such pass.
        # The next pass begins only then, too.
        whole, replaying, owed = Signal(), Signal(), Signal()
        m.d.comb += [stream.replay.eq(self.replay), stream.replay_bank.eq(self.bank)]
        m.d.comb += [Assume(~self.replay | (whole & ~replaying)), Assume(~(self.begin & ~self.other) | ~(replaying | self.replay))]
        with m.If(stream.kept):
            m.d.sync += [whole.eq(1), owed.eq(0)]
        with m.If(self.begin & ~self.other):
            m.d.sync += [whole.eq(0), owed.eq(1)]
        m.d.comb += Assume(~(self.begin & owed))
        m.d.sync += replaying.eq(self.replay | (replaying & ~stream.replay_done))
        number = whichever(m, "neuron", range(count))
        m.d.comb += Assume(number < count)
        kept, taken = Signal(width), Signal()
        # The accumulators are captured one cycle after the last slot of their group.
        captured, of_group, unperturbed = Signal(), Signal.like(group), Signal()
        m.d.sync += [captured.eq(self.last), of_group.eq(group), unperturbed.eq(~first)]
        for place in range(lanes):
            for each in range(groups):
                with m.If(captured & unperturbed & (of_group == each) & (number == each * lanes + place)):
                    m.d.sync += [kept.eq(self.accumulators.word_select(place, width)), taken.eq(1)]
        z, found, replays = inner.names["z"], inner.names["found"], inner.names["replays"]
        replayed = Signal()
        m.d.sync += replayed.eq(replays)
        always(m, ~(replayed & (found.index == number)) | (taken & (z.as_unsigned() == kept)), ~replayed | ~found.bank[1])
        shown = Signal(2)
        m.d.sync += shown.eq(shown + (replayed & (found.index == number) & kept.any() & (shown != 3)))
        self.reach(m, shown == 1)


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
    Property(
        "kept pre-activations",
        "presentation.neurons.NeuronStream",
        partial(Kept, DESIGNS["probes"]),
        Bounded(20),
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
                "the neighbour's pre-activation", f"{_STREAM}.elaborate", "kept.addr.eq(found.index)", "kept.addr.eq(found.index ^ 1)", 20
            ),
        ),
    ),
)
