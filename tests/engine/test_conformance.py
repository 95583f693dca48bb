"""The conformance list, by every kernel set; tests/cpp has the same without Python."""

import conformance
import pytest

NETWORKS, CASES = conformance.read_list()


@pytest.mark.parametrize("network", NETWORKS)
def test_every_kernel_set_makes_what_the_list_says(isa, network):
    cases = [case for case in CASES if case.network == network]
    assert cases
    wrong = [
        case.line
        for i, case in enumerate(cases)
        if conformance.checksum(case, isa, threads=1 + i % 8) != case.checksum
    ]
    assert wrong == []


def test_the_shipped_networks_are_described_as_they_are():
    """Who ports the engine need not read their metadata."""
    for name in ("fsrcnn", "fsrcnn-s"):
        model = conformance.network(NETWORKS[name])
        layers = [tuple(map(int, layer.split(":"))) for layer in NETWORKS[name]["layers"].split(",")]
        assert layers == [(node.kernel, node.out_channels) for node in model.nodes]
        assert NETWORKS[name]["pads"] == ",".join(str(head.pad) for head in model.heads.values())
        assert {str(head.kernel) for head in model.heads.values()} == {NETWORKS[name]["head"]}
        assert {head.border for head in model.heads.values()} == {NETWORKS[name]["border"]}
        assert model.padding == NETWORKS[name]["padding"]
