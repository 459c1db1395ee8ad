"""The systemd unit of the daemon."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# What a user's own service manager may set without rights that users often lack.
_ANYWHERE = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "SystemCallArchitectures=native",
)
# /proc of other users and /dev/nvidia* must stay visible, so there is no ProtectProc, PrivateDevices
# or PrivateUsers.
_SYSTEM_ONLY = (
    "DynamicUser=yes",
    "StateDirectory=gpudoctor",
    "RuntimeDirectory=gpudoctor",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelTunables=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "UMask=0077",
)


# To end other users' processes takes root, and three of root's rights: to signal them, to read what
# they inherited (environment, open files), and the folders in /proc that are theirs alone.
_RECLAIMING = {
    "DynamicUser=yes": "User=root",
    "CapabilityBoundingSet=": "CapabilityBoundingSet=CAP_KILL CAP_SYS_PTRACE CAP_DAC_READ_SEARCH",
}


def unit(
    command: Sequence[str],
    *,
    system: bool,
    reclaim: bool = False,
    kernel_log: bool = False,
    groups: Sequence[str] = (),
) -> str:
    """The text of gpudoctor.service, for the system or for a user's own services.

    With `reclaim` the service of the system may end the processes of all users, with `kernel_log` it
    may read the kernel log where that takes a right (`kernel.dmesg_restrict`). It is in `groups`, which
    may read what others may not.
    """
    hardening: tuple[str, ...] = (*_ANYWHERE, *_SYSTEM_ONLY) if system else _ANYWHERE
    if reclaim:
        hardening = tuple(_RECLAIMING.get(line, line) for line in hardening)
    if kernel_log and system:
        hardening = tuple(_with_syslog(line) for line in hardening)
        # Root has what its bounding set leaves; another user has only what is given so.
        hardening += () if reclaim else ("AmbientCapabilities=CAP_SYSLOG",)
    if groups and system:
        hardening += (f"SupplementaryGroups={' '.join(groups)}",)
    lines = [
        "[Unit]",
        "Description=gpudoctor: GPU metrics and diagnoses",
        *(["After=network.target nvidia-persistenced.service"] if system else []),
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={' '.join(_quoted(word) for word in command)}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "WatchdogSec=60",
        "Restart=on-failure",
        "RestartSec=10",
        "TimeoutStopSec=5",
        "MemoryHigh=256M",
        "",
        *hardening,
        "",
        "[Install]",
        f"WantedBy={'multi-user' if system else 'default'}.target",
    ]
    return "\n".join(lines) + "\n"


def _with_syslog(line: str) -> str:
    name, _, value = line.partition("=")
    return f"{name}={f'{value} CAP_SYSLOG'.lstrip()}" if name == "CapabilityBoundingSet" else line


def _quoted(word: str) -> str:
    # systemd expands % and $ in commands, even between quotes.
    return shlex.quote(word).replace("%", "%%").replace("$", "$$")
