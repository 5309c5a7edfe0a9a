# amaranth: UnusedElaboratable=no
"""The core of node perturbation: the composition of its blocks, and the cycle contract that follows from their latencies."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring

from python_ref.spec.design import DesignSpec
from python_ref.spec.events import UNSIGNED_FIELDS
from python_ref.spec.number import Fixed
from python_ref.spec.registers import ERROR_SUMS
from rtl_gen.activation import ActivationUnit
from rtl_gen.broadcast import factors
from rtl_gen.cost import AnswerCheck, CostUnit
from rtl_gen.fanout import fanout_latency
from rtl_gen.host import HostPort, gradient_exponent, register_file
from rtl_gen.host_side import connect_counts, connect_streams, memory_access, network_ports, register_access, settings
from rtl_gen.lane import MultiplyAccumulate
from rtl_gen.perturbation import load_streams
from rtl_gen.presentation.applying import applying
from rtl_gen.presentation.arithmetic import adds_in_multiplier, applied_shape, measured_shape, operand_shape, sum_width, update_width
from rtl_gen.presentation.contract import Latencies, outputs_to_change
from rtl_gen.presentation.draws import output_latency
from rtl_gen.presentation.errors import ErrorUnit, SharedErrorUnit, error_unit
from rtl_gen.presentation.layouts import UNPERTURBED, has_full_layers, is_unperturbed, neuron_layout
from rtl_gen.presentation.neurons import NeuronStream, kept_words, neuron_stream
from rtl_gen.presentation.noise import noise_words
from rtl_gen.presentation.operands import activation_banks
from rtl_gen.presentation.perturbed import PerturbedNeuron
from rtl_gen.presentation.signature import ForwardSignature, LearnedSignature
from rtl_gen.presentation.signs import RandomNeuronSigns, sign_source
from rtl_gen.probe import event_layouts
from rtl_gen.slot import delayed, in_last_layer

__all__ = ["NodeCore"]


class NodeCore(wiring.Component):
    """A network that trains itself by node perturbation, with the streams that connect it to a host.

    Its ports are those of :class:`rtl_gen.core.Core`; its events are those of node perturbation.

    Parameters
    ----------
    spec : DesignSpec
        The design that the core implements.
    starved_port : bool
        Whether the core has the port ``starved``, which a wrapper for a bus needs for its interrupt.
    """

    def __init__(self, spec: DesignSpec, *, starved_port: bool = False):
        self.spec = spec
        self.starved_port = starved_port
        self._plan()
        super().__init__(network_ports(spec, starved_port=starved_port))

    def _plan(self) -> None:
        """Choose the blocks on whose latencies the cycles of passes depend."""
        spec = self.spec
        self.applying = applying(spec)
        self.array = self.applying.array
        self.errors = self._error_unit()
        depth = self.array.latency - self.applying.operand_delay + NeuronStream.latency + output_latency(spec) - 1
        self.sequencer = self.applying.sequencer(depth=depth, error_cycles=self._error_cycles, error_pace=self.errors.pace)
        self.contract = self.applying.contract(spec, self.sequencer, Latencies.of(spec, self.array, self.errors, self._waits))

    def _error_unit(self) -> ErrorUnit:
        """Return the unit of the errors."""
        return error_unit(self.spec)

    @property
    def _error_cycles(self) -> int:
        """Cycles of a group of an applying pass beyond the number of neurons in the next one, so that their errors arrive in time.

        The lanes take a group's errors one cycle before its first product.
        """
        return self.errors.error_latency - (self.array.timing.weight - 1)

    @staticmethod
    def sum_widths(spec: DesignSpec) -> dict[str, int]:
        """Widths of the sums behind a lane's multipliers in bits, by the name patterns of their modules; 0 where only a register follows.

        Yosys 0.70 takes a product with two registers behind it for 0 (``ice40_dsp``), so that the second one must be outside of a module
        that is mapped as a whole.
        """
        if spec.just_in_time:
            update = {"*.update_mac": update_width(spec)} if adds_in_multiplier(spec) else {"*.update_mac.product": 0}
            return {"*.mac": spec.accumulator_width} | update
        return {"*.mac": sum_width(spec)}

    @staticmethod
    def factors(spec: DesignSpec) -> list[tuple[int, Shape]]:
        """Width of the signed factor, and shape of the operand, of each of a lane's multipliers; one alone takes both factors in turn."""
        weight, error = spec.formats.weight.width, spec.error_format.width
        if spec.just_in_time:
            return [(weight, measured_shape(spec)), (error, applied_shape(spec))]
        return [(max(weight, error), operand_shape(spec))]

    @staticmethod
    def operand_reads(spec: DesignSpec) -> int:
        """Number of operands that the lanes take in one cycle, each of which has read ports of its own."""
        return 1 + spec.just_in_time

    @staticmethod
    def own_formats(spec: DesignSpec) -> dict[str, Fixed]:
        """Formats, by name, of the quantities that only this kind of perturbation has."""
        return {"error_sum": spec.error_sum_format, "error": spec.error_format}

    @staticmethod
    def activation_banks(spec: DesignSpec) -> int:
        """Number of passes whose hidden activations the core stores at once."""
        return activation_banks(spec)

    @staticmethod
    def own_memory_bits(spec: DesignSpec) -> int:
        """Number of bits in the memories of E, the kept pre-activations, random signs, and rounding noise."""
        neurons = spec.network.n_neurons
        bits = max(2, neurons) * spec.error_sum_format.width + kept_words(spec) * spec.accumulator_width
        signs = RandomNeuronSigns.memory_bits(spec) if spec.sign_generators else 0
        return bits + signs + noise_words(spec) * spec.stochastic_bits

    @property
    def _waits(self) -> tuple[int, int]:
        """Cycles by which the controller waits; see :class:`~rtl_gen.presentation.controller.PresentationController`.

        After a replay, operands must be written before the lanes read them. A probe of the last layer alone takes as many cycles as there
        are outputs, and some latencies, to its cost change; the sweep of the errors before it takes one for each neuron of their part.
        """
        own = self.spec.network.n_out + 1 + outputs_to_change(self.spec)
        return self.applying.replay_wait(), max(0, *(part.neurons - own for part in self.spec.round.parts)) if self.spec.in_parts else 0

    # -- Composition ---------------------------------------------------------------------------------------------

    def _blocks(self) -> dict[str, Any]:
        """Return the blocks of the core, by their names."""
        spec = self.spec
        blocks = {
            "controller": self.applying.controller(spec, replay_wait=self._waits[0], sweep_wait=self._waits[1]),
            "sequencer": self.sequencer,
            "signs": sign_source(spec),
            "array": self.array,
            "operands": self.applying.operands(),
            "neurons": neuron_stream(spec),
            "activation": ActivationUnit(spec, neuron_layout(spec), complement=True),
            "cost": CostUnit(spec, SharedErrorUnit.factors(spec) if isinstance(self.errors, SharedErrorUnit) else None),
            "multiplier": self._multiplier(),
            "answer_check": AnswerCheck(spec),
            "errors": self.errors,
            "host": HostPort(spec, self.array.host_latency),
            "registers": register_file(spec),
        }
        if spec.stochastic_bits:
            blocks["noise"] = self.applying.noise(spec)
        if has_full_layers(spec):
            blocks["perturbed"] = PerturbedNeuron(spec)
        return blocks

    def elaborate(self, platform):
        m = Module()
        blocks = self._blocks()
        for name, block in blocks.items():
            setattr(m.submodules, name, block)
        self._idle = delayed(m, ~blocks["controller"].busy, 1, "host_mode", reset_less=False)
        self._connect_passes(m, **blocks)
        self._connect_neurons(m, **blocks)
        self._connect_errors(m, **blocks)
        self._connect_streams(m, blocks)
        self._connect_host(m, **blocks)
        self._connect_probes(m, **blocks)
        return m

    def _multiplier(self):
        """The multiplier of the squares, which scales the errors as well where :class:`SharedErrorUnit` suits."""
        spec = self.spec
        if not isinstance(self.errors, SharedErrorUnit):
            return CostUnit.multiplier(spec)
        widths = (max(pair) for pair in zip(factors(spec), SharedErrorUnit.factors(spec), strict=True))
        return MultiplyAccumulate(*(signed(width) for width in widths), MultiplyAccumulate.WIDEST)

    def _connect_passes(self, m, *, controller, sequencer, signs, array, operands, neurons, perturbed=None, **_):
        """Connect the pipeline of slots, and the blocks whose values join it."""
        wiring.connect(m, wiring.flipped(self.sample), operands.sample)
        m.d.comb += [
            *(getattr(sequencer, name).eq(getattr(controller, name)) for name in ("request", "probe", "apply", "minus", "bank")),
            controller.started.eq(sequencer.started),
            array.slot.eq(sequencer.slot),
            array.ahead.eq(sequencer.ahead),
            *self.applying.connections(controller, array=array, operands=operands, sequencer=sequencer),
            array.update.eq(controller.update),
            operands.slot.eq(sequencer.slot),
            operands.ahead.eq(sequencer.ahead),
            operands.update.eq(controller.update),
            array.x.eq(operands.x),
            operands.take.eq(controller.take),
            controller.available.eq(operands.available),
            neurons.slot.eq(array.accumulator_slot),
            neurons.accumulators.eq(array.accumulators),
            neurons.replay.eq(controller.replay),
            neurons.replay_bank.eq(controller.bank[0]),
            neurons.replay_minus.eq(controller.minus),
            controller.kept.eq(neurons.kept),
            controller.replay_done.eq(neurons.replay_done),
            signs.begin.eq(controller.replay),
            signs.begin_bank.eq(controller.bank[0]),
            signs.advance.eq(controller.advance),
            signs.fresh.eq(controller.fresh),
            controller.signs_ready.eq(signs.ready),
            signs.index.eq(neurons.sign_index),
            signs.bank.eq(neurons.sign_bank),
            neurons.sign.eq(signs.sign),
        ]
        if self.spec.in_parts:
            m.d.comb += [block.part.eq(controller.part) for block in (sequencer, neurons, signs)]
        if perturbed is not None:
            m.d.comb += [
                perturbed.replay.eq(controller.replay),
                perturbed.index.eq(signs.column),
                neurons.column.eq(signs.column),
                neurons.layer.eq(perturbed.layer),
                sequencer.layer.eq(perturbed.begin),
                operands.column.eq(perturbed.column),
                operands.moves.eq(perturbed.moves),
                array.layer.eq(perturbed.begin),
                array.column.eq(perturbed.place),
            ]
        elif self.spec.incremental:
            # An output takes the place of a hidden neuron whose activation does not change.
            n_hidden, hidden = self.spec.network.n_hidden, Signal.like(array.column, name="hidden_column")
            every = n_hidden == 1 << len(hidden)  # any number of so many bits is a hidden neuron's
            m.d.comb += hidden.eq(signs.column if every else Mux(signs.column < n_hidden, signs.column, 0))
            m.d.comb += [
                neurons.column.eq(signs.column),
                operands.replay.eq(controller.replay),
                operands.column.eq(hidden),
                operands.moves.eq(signs.column < n_hidden),
                array.replay.eq(controller.replay),
                array.column.eq(hidden),
            ]

    def _connect_neurons(self, m, *, controller, neurons, activation, operands, cost, multiplier, answer_check, **_):
        """Connect pre-activations to activations, and activations to the operands, the cost and the answer check."""
        neuron, output = activation.neuron_o, Signal()
        m.d.comb += [
            activation.neuron.eq(neurons.neuron),
            activation.z.eq(neurons.z),
            operands.neuron.eq(neuron),
            operands.y.eq(activation.y),
            # A target is read one cycle before its output is valid.
            operands.target_neuron.eq(delayed(m, neurons.neuron, ActivationUnit.latency - 1, "target_neuron", reset_less=False)),
            output.eq(neuron.valid & in_last_layer(self.spec, neuron)),
        ]
        self._connect_outputs(m, output, neuron, activation.y, operands.target, controller, cost, answer_check, multiplier)

    def _connect_outputs(self, m, output, neuron, y, target, controller, cost, answer_check, multiplier):
        """Connect the outputs of the network, which have a strobe, to the cost and the answer check."""
        spec, unperturbed = self.spec, is_unperturbed(neuron.bank)
        first, second = (~unperturbed & ~neuron.minus, neuron.minus) if spec.two_sided else (unperturbed, ~unperturbed)
        m.d.comb += [
            cost.stb.eq(output),
            cost.last.eq(neuron.last),
            cost.first.eq(first),
            cost.second.eq(second),
            cost.y.eq(y),
            cost.target.eq(target),
            answer_check.stb.eq(output & unperturbed & controller.check_answer),
            answer_check.last.eq(neuron.last),
            answer_check.y.eq(y),
            answer_check.target.eq(target),
            cost.square.eq(multiplier.o),
        ]
        errors = self.errors
        if isinstance(errors, SharedErrorUnit):
            # The result of an operator, so that no constant bits keep the multiplier from becoming one DSP block.
            offset = errors.offset | Const(0, errors.offset.shape())
            m.d.comb += [
                *(cost.others.of0.eq(errors.factor), cost.others.of1.eq(errors.power)),
                *(multiplier.a.eq(cost.factors.of0), multiplier.b.eq(cost.factors.of1)),
                *(multiplier.c.eq(offset), errors.product.eq(multiplier.o)),
            ]
        else:
            m.d.comb += [multiplier.a.eq(cost.error), multiplier.b.eq(cost.error)]
        if CostUnit.sums_in_multiplier(spec):
            # A multiplier's own register has no value after a reset, so it is cleared while the core is idle, too.
            load = cost.cost_stb | self._idle
            m.d.comb += multiplier.load.eq(load | errors.load if isinstance(errors, SharedErrorUnit) else load)

    def _connect_errors(self, m, *, controller, sequencer, signs, activation, array, cost, errors, host, **_):
        """Connect the costs of the probes to the errors, and the errors to the lanes."""
        to_change = self._follow_costs(m, activation.neuron_o, cost)
        m.d.comb += [
            controller.cost_stb.eq(cost.cost_stb),
            controller.settled_stb.eq(delayed(m, cost.cost_stb & controller.training, to_change, "settled_stb", reset_less=False)),
            controller.change_stb.eq(self._change_stb),
            controller.errors_busy.eq(errors.busy),
            controller.errors_ready.eq(errors.ready),
            controller.learned_stb.eq(delayed(m, array.learned_stb, 1, "learned_stb", reset_less=False)),
            errors.change_stb.eq(self._change_stb),
            errors.cost_change.eq(cost.cost_change),
            errors.final.eq(controller.final),
            *gradient_exponent(self.spec, host.exponent, errors, array),
            errors.next_group.eq(sequencer.slot.first & sequencer.slot.apply),
            signs.sweep_begin.eq(self._change_stb),
            signs.sweep_bank.eq(delayed(m, self._cost_bank[0], to_change, "change_bank")),
            array.error.eq(errors.error),
            array.error_en.eq(errors.error_en),
        ]
        if self.spec.incremental:
            m.d.comb += [errors.clear.eq(controller.clear), errors.column.eq(signs.sweep_column)]
        else:
            m.d.comb += [
                *(() if self.spec.in_parts else (errors.fresh.eq(controller.first),)),
                signs.sweep_index.eq(errors.sign_index),
                errors.sign.eq(signs.sweep_sign),
            ]
        if self.spec.in_parts:
            m.d.comb += [errors.clear.eq(controller.clear), errors.part.eq(signs.sweep_part)]

    def _follow_costs(self, m, neuron, cost) -> int:
        """Let the pass of a cost follow it from the pass's last neuron; return the cycles from a cost to the cost change."""
        latency = CostUnit.cost_latency(self.spec)
        to_change = CostUnit.latency(self.spec) - latency
        self._cost_bank = delayed(m, neuron.bank, latency, "cost_bank")
        self._cost_minus = delayed(m, neuron.minus, latency, "cost_minus")
        self._change_stb = delayed(m, cost.cost_stb & cost.cost_second, to_change, "change_stb", reset_less=False)
        return to_change

    def _connect_streams(self, m, blocks):
        """Connect the rounding noise to the lanes, and the loaded states to all random streams."""
        if self.spec.stochastic_bits:
            noise, array = blocks["noise"], blocks["array"]
            m.d.comb += [noise.slot.eq(array.noise_slot), array.noise.eq(noise.o), noise.update.eq(blocks["controller"].update)]
        load_streams(m, self.spec, blocks["host"], self._streams(blocks))

    def _streams(self, blocks: dict[str, Any]) -> list[Any]:
        """The blocks that have random streams, in the order of their bits in a beat of the register ``stream``."""
        return [blocks["signs"], *([blocks["noise"]] if self.spec.stochastic_bits else [])]

    def _connect_host(self, m, *, host, controller, array, operands, answer_check, cost, errors, registers, **_):
        """Connect the host port to commands, settings, memories and registers."""
        connect_streams(m, self, host)
        m.d.comb += settings(host, controller, ("train", "infer", "stop", "restart", "count_en"))
        m.d.comb += [
            operands.discard.eq(delayed(m, host.discard, 1, "discard", reset_less=False)),
            *memory_access(host, array, self._idle),
            errors.host_mode.eq(array.host_mode),
            errors.host_address.eq(host.address),
            errors.readable.eq(controller.open & (host.memory == ERROR_SUMS)),
            array.host_error_sum.eq(errors.host_data),
            *register_access(host, array, registers, controller.busy, [delayed(m, controller.starved, 1, "starved", reset_less=False)]),
            registers.i_steps.eq(self._change_stb),
            registers.i_correct.eq(answer_check.correct),
            registers.i_cycles.eq(delayed(m, controller.busy & ~controller.starved, 1, "cycle", reset_less=False)),
            registers.i_cost0.eq(cost.cost0_complement),
            registers.i_cost1.eq(cost.cost1),
            registers.i_cost_change.eq(cost.cost_change),
            self.busy.eq(controller.busy),
            *([self.starved.eq(controller.starved)] if self.starved_port else []),
        ]
        m.d.comb += [getattr(registers, f"i_{name}").eq(getattr(array, name)) for name in array.counts]

    def _connect_probes(self, m, *, controller, array, activation, cost, errors, host, registers, **_):
        """Connect the counts of the passes, the events that :mod:`python_ref.spec.events` describes, and their signatures."""
        spec, neuron = self.spec, activation.neuron_o
        neuron_shown = neuron.valid & controller.training & (~is_unperturbed(neuron.bank) | controller.shown)
        cost_shown = cost.cost_stb & controller.training & (~is_unperturbed(self._cost_bank) | controller.shown)
        m.d.comb += [
            registers.i_saturated_activation.eq(delayed(m, neuron_shown & activation.outside, 1, "saturated_activation", reset_less=False)),
            registers.i_saturated_cost_change.eq(self._change_stb & cost.outside),
            registers.i_saturated_error.eq(delayed(m, errors.saturated, 1, "saturated_error", reset_less=False)),
            registers.i_updates.eq(array.learned_stb & controller.update),
        ]
        number = Mux(self._cost_minus, 2, ~is_unperturbed(self._cost_bank))
        m.d.comb += [
            self.probe_neuron["pass"].eq(Mux(neuron.minus, 2, ~is_unperturbed(neuron.bank))),
            self.probe_neuron.preactivation.eq(activation.z_o),
            self.probe_neuron.activation.eq(activation.y),
            *self._shown_fields(activation),
            self.probe_neuron.outside.eq(activation.outside),
            self.probe_cost["pass"].eq(number),
            self.probe_cost.cost.eq(cost.total),
            self.probe_step.cost_change.eq(cost.cost_change),
            self.probe_correlation.sign.eq(errors.sign_o),
            self.probe_correlation.error_sum.eq(errors.error_sum),
            self.probe_error.error.eq(errors.error),
            self.probe_word.eq(array.word_event),
        ]
        forward, learned = self._signatures(m, neuron_shown, cost_shown, array, activation, cost, errors, host, registers)
        # The events "step" and "learned" come when the counts and the signatures include them.
        strobes = {
            "neuron": neuron_shown,
            "cost": cost_shown,
            "step": delayed(m, self._change_stb, forward, "step_stb", reset_less=False),
            "correlation": errors.correlation_stb,
            "error": errors.error_stb,
            "word": array.word_stb,
            "learned": delayed(m, array.learned_stb, max(1, learned), "shown_stb", reset_less=False),
        }
        m.d.comb += self.probe_stb.eq(Cat(strobes[event] for event in event_layouts(spec)))
        connect_counts(m, self, registers)

    def _shown_fields(self, activation):
        """Statements that connect the fields of a neuron that not every core has.

        In incremental probes, it is shown in bank 1 if it is the perturbed one, unless it is an output, and in bank 0 if not.
        """
        neuron = activation.neuron_o
        if not self.spec.incremental:
            return [self.probe_neuron.bank.eq(neuron.bank)]
        perturbed = neuron.replayed if has_full_layers(self.spec) else neuron.layer == 0
        return [self.probe_neuron.bank.eq(Mux(is_unperturbed(neuron.bank), UNPERTURBED, perturbed))]

    def _signatures(self, m, neuron_shown, cost_shown, array, activation, cost, errors, host, registers) -> tuple[int, int]:
        """Connect the signatures; return the cycles from a step's change and from the end of an applying pass to their events."""
        in_parts = fanout_latency(self.spec.hardware.lanes) > 0
        spec = self.spec
        if not spec.hardware.signature:
            return 2, 1
        unsigned_fields = [field.offset for name, field in event_layouts(spec)["neuron"] if name in UNSIGNED_FIELDS]
        neuron = Value.cast(self.probe_neuron)[: min(unsigned_fields)]
        widths = (len(neuron), len(Value.cast(self.probe_cost)), len(cost.cost_change))
        m.submodules.forward_signature = forward = ForwardSignature(*widths, in_parts=in_parts)
        learned = LearnedSignature(len(Value.cast(self.probe_word)), len(errors.error), in_parts=in_parts)
        m.submodules.learned_signature = learned
        m.d.comb += [
            forward.neuron_stb.eq(neuron_shown),
            forward.neuron_bank.eq(activation.neuron_o.bank),
            forward.neuron.eq(neuron),
            forward.cost_stb.eq(cost_shown),
            forward.cost_bank.eq(self._cost_bank),
            forward.cost.eq(self.probe_cost),
            forward.change_stb.eq(self._change_stb),
            forward.change.eq(cost.cost_change),
            forward.clear.eq(host.clear),
            registers.i_forward_signature.eq(forward.o),
            self.probe_step.signature.eq(forward.o),
            learned.word_stb.eq(array.word_stb),
            learned.word_last.eq(array.word_last),
            learned.word.eq(self.probe_word),
            learned.error_stb.eq(errors.error_stb),
            learned.error.eq(errors.error),
            learned.clear.eq(host.clear),
            registers.i_learned_signature.eq(learned.o),
            self.probe_learned.signature.eq(learned.o),
        ]
        return forward.latency, 1
