"""Faults planted in the core of the learner; see :mod:`tests.support.faults`. The design names a scenario of the test."""

from __future__ import annotations

from tests.support.faults import Fault

__all__ = ["LEARNER_FAULTS"]

_CONTROLLER = "learner.controller:LearnerController.elaborate"
_KIND = "learner.controller:LearnerController._kind"
_OUTSIDE = "learner.core:LearnerCore._connect_outside"
_SIGNATURE = "learner.signature:PassSignature.elaborate"
_MEASUREMENT = "learner.measuring:Measurement.elaborate"
_PASSES = "learner.core:LearnerCore._connect_passes"
_SIGNS = "learner.signs:RepeatedRandomSigns.following_state"
_NOISE = "learner.streams:ManyNoise.following_state"
_SEQUENCER = "learner.sending:PassSequencer.elaborate"
_ERROR = "learner.array:LearnerLane.note_update"
_QUEUE = "learner.sending:WordQueue.elaborate"

LEARNER_FAULTS = (
    Fault("a new baseline is not due after a late cost", _CONTROLLER, "flags.repeats.eq(1), ", "", "late"),
    Fault("a baseline is due for ever", _CONTROLLER, "flags.repeats.eq(0), flags.needs_all", "flags.needs_all", "late"),
    Fault("correlated twice", _CONTROLLER, 'm.d.sync += flags.pending.eq(0)\n            m.next = "Measure"', 'm.next = "Measure"', "late"),
    Fault("a late cost is not told", _CONTROLLER, "self.timed_out.eq(1)", "self.timed_out.eq(0)", "late"),
    Fault("an index in every step", _CONTROLLER, "with m.If(flags.takes)", "with m.If(1)", "late"),
    Fault(
        "more samples than there are",
        "learner.controller:LearnerController._following",
        "Mux(counted == self.samples, 0, counted)",
        "counted",
        "plain",
    ),
    Fault("a sample is due for ever", _CONTROLLER, "flags.needs_all.eq(0), ", "", "late"),
    Fault("the last pass is perturbed", _CONTROLLER, "self.perturb.eq(0), ", "", "plain"),
    Fault("nothing is learned at the end", _CONTROLLER, "self.correlate.eq(flags.pending)]", "self.correlate.eq(0)]", "plain"),
    Fault("the plus pass is not perturbed", _KIND, "second | self.spec.two_sided", "second", "plain"),
    Fault("other signs in the minus pass", "learner.signs:RepeatedRandomSigns.begin_vector", "m.d.sync += fresh.eq(0)", "pass", "plain"),
    Fault("the mean of the most words", _MEASUREMENT, "up.eq(most - self.average)", "up.eq(0)", "late"),
    Fault("a sum of all measurements", _MEASUREMENT, "total.eq(0), ", "", "plain"),
    Fault("time runs on from word to word", _MEASUREMENT, "opens | transfer)", "opens)", "late"),
    Fault("no time to settle", _MEASUREMENT, "opens.eq(settling & timer.done)", "opens.eq(settling)", "timed"),
    Fault("C₋ − C₊", "learner.measuring:CostChange.elaborate", "self.cost0 - self.total if", "self.total - self.cost0 if", "plain"),
    Fault("C₀ of the abandoned step", "learner.measuring:CostChange.elaborate", "self.stb & ~self.second", "0", "late"),
    Fault("a full queue takes more", "learner.sending:PassSequencer.elaborate", "running & room", "running", "slow"),
    Fault("a word is lost where the outside waits", _QUEUE, " & (~self.o.valid | self.o.ready)", "", "slow"),
    Fault(
        "indices of all passes",
        _QUEUE,
        "Mux(word.last, self.lane, word.index + self.spec.hardware.lanes)",
        "word.index + self.spec.hardware.lanes",
        "plain",
    ),
    Fault(
        "words of the pass before are signed",
        _SIGNATURE,
        "register.eq(-1)",
        "register.eq(register)",
        "plain",
    ),
    Fault(
        "a pass that did not run is signed",
        _SIGNATURE,
        "self.change_stb & self.both",
        "self.change_stb",
        "late",
    ),
    Fault(
        "the last pass is measured",
        _OUTSIDE,
        "applied & controller.measured",
        "applied",
        "plain",
    ),
    Fault("the queue is shorter than the pipeline", "learner.core:LearnerCore._room", "(flight - 1)", "(flight - 9)", "timed"),
    Fault("the last slot draws signs for every lane", _SIGNS, "Mux(drawing.slot.last, leap_by(state, last), ", "(", "streams"),
    Fault("the last slot draws words for every lane", _NOISE, "if few != lanes", "if few > lanes", "streams"),
    Fault("all lanes round alike", "learner.streams:ManyBroadcast.cast_weight", "bits * lane : bits * (lane + 1)", ": bits", "streams"),
    Fault("a lane without a quantity is counted", "learner.array:LearnerArray.update_flags", "outside & mask", "outside", "streams"),
    Fault("a pass ends with its first stream", "learner.streams:PassEnd.elaborate", ".all()", ".any()", "streams"),
    Fault("a stream that has no word in the last slot gets one", _PASSES, "& ~array.sent_slot.last", "", "streams"),
    Fault("a full queue of one lane takes more", _SEQUENCER, "free in frees))", "free in frees[:1]))", "streams"),
    Fault("the words of absent lanes take room", _SEQUENCER, "issues & ~last", "issues", "streams"),
    Fault("errors with the sign of a step uphill", _ERROR, "~minus, active", "minus, active", "nodes"),
    Fault("the error of the word before", "learner.array:LearnerArray.elaborate", "self.latency - timing.parameter", "0", "nodes"),
    Fault("errors of the first lane in all streams", _PASSES, "array.errors[lane]", "array.errors[0]", "nodes"),
    Fault("the slot after the last begins at 1", "array:CorrelatingArray.following_word", "return 0", "return 1", "plain"),
)
"""One line of the learner's source each, with the scenario that must show it."""
