"""A design survives the journey through JSON."""

import json
import random
from dataclasses import replace

import pytest

from python_ref.spec.design import Formats
from python_ref.spec.number import Fixed
from python_ref.spec.perturbation import CODES
from python_ref.spec.serial import from_dict, to_dict
from tests.support.designs import random_design


@pytest.mark.parametrize("seed", range(100))
def test_a_design_comes_back_equal(seed):
    spec = random_design(random.Random(seed), max_lanes=256, parts=1.0, sparse=0.3)
    again = from_dict(json.loads(json.dumps(to_dict(spec))))
    assert again == spec
    assert (again.digest, again.run_digest) == (spec.digest, spec.run_digest)


def test_formats_that_the_notation_lacks_come_back_too():
    spec = random_design(random.Random(1))
    spec = replace(spec, formats=replace(Formats(), cost_change=Fixed(True, -3, 20)))
    assert from_dict(json.loads(json.dumps(to_dict(spec)))) == spec


def test_every_field_is_needed():
    described = to_dict(random_design(random.Random(2)))
    for name in described:
        with pytest.raises(ValueError, match=rf"^Description of a design must have a member '{name}'"):
            from_dict({key: value for key, value in described.items() if key != name})


def test_an_unknown_code_is_refused():
    described = to_dict(random_design(random.Random(2)))
    described["perturbation"]["code"]["name"] = "morse"
    with pytest.raises(ValueError, match=rf"^Name must be one of {', '.join(CODES)}, not 'morse'$"):
        from_dict(described)
