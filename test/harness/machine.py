"""What to boot: one emulated machine, and the command line that starts it.

Serial ports and QEMU's control channel are sockets in a private directory. COM1 is listened on by the session and
connected to by the emulator, so that nothing the guest prints before the session looks is lost.
"""

import dataclasses
import os
import pathlib
import re
import shutil

OVMF = [("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd")]
BOCHS_CPU = "corei7_skylake_x"  # the model with PCID, INVPCID, SMEP and SMAP
BOCHS_HOST_MB = 1024  # what Bochs holds in its own memory; it pages the rest of the guest's
DEBUG_EXIT = 0x2A  # what the kernel writes to isa-debug-exit at the end of a bug check
QEMU_STOP_STATUS = DEBUG_EXIT << 1 | 1


class UsageError(Exception):
    """A combination that does not exist; the message is a sentence for the user."""


@dataclasses.dataclass
class Machine:
    """One machine. `disks` are images for the IDE channels; the disc is the master of the second one.

    `chipset` q35 has PCI Express and no IDE of its own: it gets the one of the PIIX3 as a plug-in. `devices` are further
    -device arguments of QEMU.
    `faults` are pairs (sector, once) of the first disk, or of the disc if there is none (sectors of 512
    bytes): reading the sector fails always, or the first time only (QEMU).
    """

    emulator: str = "qemu"
    firmware: str = "bios"
    cpus: int = 1
    mem: int = 512
    flavor: str = "chk"
    disks: tuple = ()
    faults: tuple = ()
    storage: str = "ide"
    chipset: str = "pc"
    devices: tuple = ()
    icount: bool = False
    cmdline: str = ""
    extra: str = None
    window: bool = False

    def check(self):
        """Raises UsageError for what cannot be booted."""
        if self.storage != "ide":
            raise UsageError(f"--storage {self.storage} does not exist yet: Oriel has a driver for IDE disks only")
        if self.emulator == "bochs" and self.firmware == "uefi":
            raise UsageError("--firmware uefi does not exist with --emulator bochs: Bochs has a BIOS only")
        if self.emulator == "bochs" and (self.chipset != "pc" or self.devices):
            raise UsageError("--chipset and --device are QEMU's: Bochs has an i440FX")
        if self.emulator == "bochs" and self.icount:
            raise UsageError("--icount is QEMU's: Bochs always counts instructions")
        if not 1 <= self.cpus <= (8 if self.emulator == "bochs" else 64):
            raise UsageError(f"--cpus {self.cpus} does not exist with --emulator {self.emulator}")
        if not 8 <= self.mem <= 1 << 20:
            raise UsageError(f"--mem {self.mem} is not between 8 MB and 1 TB")
        if len(self.disks) > 3:
            raise UsageError("--disk: IDE has room for three disks beside the disc")
        for disk in self.disks:
            if not os.path.isfile(disk):
                raise UsageError(f"--disk {disk}: no such file")
        if self.faults and self.emulator != "qemu":
            raise UsageError("faults exist on QEMU only")
        if self.extra and not os.path.isdir(self.extra):
            raise UsageError(f"--cd-extra {self.extra}: no such directory")
        if self.window and self.emulator != "qemu":
            raise UsageError("a display window exists with QEMU only")

    def boot_timeout(self):
        """Seconds of real time from power-on to the prompt that leave room for a busy host."""
        return {"qemu": 90, "bochs": 180}[self.emulator] + self.mem // 100

    def name(self):
        return f"{self.emulator}-{self.firmware}-{self.mem}M-{self.flavor}"

    @classmethod
    def named(cls, name, **fields):
        """The machine that a test asks for: EMULATOR-FIRMWARE-MB, then any of fre, q35, icount, 4cpu, stress10."""
        emulator, firmware, mem, *words = name.split("-")
        machine = cls(emulator=emulator, firmware=firmware, mem=int(mem), **fields)
        for word in words:
            number = re.fullmatch(r"(?:(\d+)cpu|stress(\d+))", word)
            if word in ("chk", "fre"):
                machine.flavor = word
            elif word == "q35":
                machine.chipset = word
            elif word == "icount":
                machine.icount = True
            elif number and number.group(1):
                machine.cpus = int(number.group(1))
            elif number:
                machine.cmdline = f"{machine.cmdline} stress={number.group(2)}".strip()
            else:
                raise UsageError(f"machine {name}: {word} is not known")
        return machine

    # ---- QEMU ----

    def qemu(self, disc, directory, com1, com2):
        """QEMU's command line. com1, com2: -serial arguments."""
        program = shutil.which("qemu-system-x86_64")
        if not program:
            raise UsageError("qemu-system-x86_64 is not installed: run scripts/setup")
        line = [program, "-M", self.chipset, "-cpu", "max", "-accel", "tcg", "-smp", str(self.cpus), "-m", str(self.mem),
                "-name", "oriel", "-no-user-config", "-nodefaults", "-vga", "std", "-no-reboot",
                "-display", "gtk" if self.window else "none",
                "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                "-serial", com1, "-serial", com2, "-boot", "d"]
        if self.chipset == "q35":
            line += ["-device", "piix3-ide,id=ide"]
        line += self._drive(2, self._faulty(disc) if self.faults and not self.disks else f"file={disc}", "cdrom", "raw,readonly=on")
        for index, disk in zip((0, 1, 3), self.disks):
            kind = "qcow2" if str(disk).endswith(".qcow2") else "raw"
            line += self._drive(index, self._faulty(disk) if self.faults and index == 0 else f"file={disk}", "disk", kind)
        for device in self.devices:
            line += ["-device", device]
        if self.firmware == "uefi":
            line += self._ovmf(directory)
        if self.icount:
            line += ["-icount", "shift=0,sleep=off"]
        return line

    def _drive(self, index, file, media, kind):
        """The options of the drive at place `index` of the IDE channels."""
        if self.chipset == "pc":
            return ["-drive", f"{file},if=ide,index={index},media={media},format={kind}"]
        model = "ide-cd" if media == "cdrom" else "ide-hd"
        return ["-drive", f"{file},if=none,id=drive{index},media={media},format={kind}",
                "-device", f"{model},bus=ide.{index // 2},unit={index % 2},drive=drive{index}"]

    def _faulty(self, disk):
        """The options of an image some of whose sectors cannot be read."""
        words = ["file.driver=blkdebug", "file.image.driver=file", f"file.image.filename={disk}"]
        for number, (sector, once) in enumerate(self.faults):
            fault = {"event": "none", "iotype": "read", "sector": sector, "errno": 5, "once": "on" if once else "off"}
            words += [f"file.inject-error.{number}.{name}={value}" for name, value in fault.items()]
        return ",".join(words)

    @staticmethod
    def _ovmf(directory):
        for code, variables in OVMF:
            if os.path.exists(code) and os.path.exists(variables):
                copy = pathlib.Path(directory) / "vars.fd"
                shutil.copy(variables, copy)
                return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
                        "-drive", f"if=pflash,format=raw,unit=1,file={copy}"]
        raise UsageError("--firmware uefi needs OVMF, which is not installed: run scripts/setup")

    # ---- Bochs ----

    def bochs(self, disc, directory, com1, com2):
        """Bochs' command line; writes its settings into `directory`. com1, com2: the part after `enabled=1, `."""
        program = shutil.which("bochs")
        if not program:
            raise UsageError("bochs is not installed: run scripts/setup")
        directory = pathlib.Path(directory)
        lines = ["config_interface: textconfig", "display_library: term",
                 "plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1, e1000=0",
                 f"cpu: model={BOCHS_CPU}, count={self.cpus}, ips=50000000, reset_on_triple_fault=0",
                 f"memory: guest={self.mem}, host={min(self.mem, BOCHS_HOST_MB)}",
                 "romimage: file=/usr/share/bochs/BIOS-bochs-latest", "vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest",
                 "vga: extension=vbe, update_freq=2", "pci: enabled=1, chipset=i440fx", "clock: sync=none, time0=1767225600",
                 "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
                 "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
                 f"ata1-master: type=cdrom, path=\"{disc}\", status=inserted", "boot: cdrom",
                 f"com1: enabled=1, {com1}", f"com2: enabled=1, {com2}",
                 "panic: action=fatal", "error: action=report", "info: action=ignore", "debug: action=ignore",
                 f"log: {directory / 'bochs.log'}", "mouse: enabled=0"]
        for place, disk in zip(("ata0-master", "ata0-slave", "ata1-slave"), self.disks):
            lines.append(f"{place}: type=disk, path=\"{disk}\", mode=flat")
        (directory / "bochsrc").write_text("\n".join(lines) + "\n")
        (directory / "bochs.rc").write_text("c\n")
        return [program, "-q", "-f", str(directory / "bochsrc"), "-rc", str(directory / "bochs.rc")]
