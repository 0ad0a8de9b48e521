"""PCI on a machine with PCI Express and on one without: configuration space, and interrupts by message."""

import pytest

from harness import Machine, Session, parse_ktap


@pytest.mark.parametrize("chipset", ["q35", "pc"])
def test_messages_reach_every_processor(chipset):
    with Session(Machine(mem=256, cpus=4, chipset=chipset, devices=("edu",), cmdline="test")) as session:
        session.wait_prompt()
        output = session.run("test hal.pci", 120)
        ktap = parse_ktap(output)
        assert ktap.ok() and "SKIP" not in output, output
        listed = session.run("pci")
        assert "1234:11e8" in listed and "MSI at" in listed, listed
        session.power_off()
