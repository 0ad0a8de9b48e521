"""The console's `reg`: keys and values are shown, added and deleted, and errors are named."""

from conftest import machines

KEY = r"HKLM\Software\RegTest"


@machines("qemu-bios-256")
def test_reg(console):
    assert "ide" in console.run(r"reg query HKLM\System\CurrentControlSet\Services")
    assert "REG_DWORD" in console.run(r"reg query HKLM\System\CurrentControlSet\Services\ide")
    assert console.run(f"reg add {KEY}").strip() == ""
    assert console.run(f'reg add {KEY} Name REG_SZ "two words"').strip() == ""
    assert console.run(f"reg add {KEY} Count REG_DWORD 0x10").strip() == ""
    shown = console.run(f"reg query {KEY}")
    assert "two words" in shown and "0x10 (16)" in shown
    assert "STATUS_INVALID_PARAMETER" in console.run(f"reg add {KEY} Count REG_DWORD many")
    assert console.run(f"reg delete {KEY} Count").strip() == ""
    assert "STATUS_OBJECT_NAME_NOT_FOUND" in console.run(f"reg delete {KEY} Count")
    assert console.run(f"reg delete {KEY}").strip() == ""
    assert "STATUS_OBJECT_NAME_NOT_FOUND" in console.run(f"reg query {KEY}")
    assert "usage" in console.run("reg")
