"""Profiles and energy bills as text for a terminal."""

from __future__ import annotations

from .energy import EnergyReport
from .number_format import format_count, format_interval, format_share, format_si
from .profile import Profile


def energy_text(report: EnergyReport) -> str:
    """Return one bill: statement, components, what is unpriced, totals, time, cores, cautions."""
    lines = [f"{report.title}: {report.statement}", "", "energy per inference, central (low to high):"]
    badges = {item.component: item.badge for item in report.items}
    for component, joules in report.component_j().items():
        lines.append(f"  {component:<28} {format_interval(joules, 'J'):<34} {badges[component]}")
    lines += [
        f"  {line.split(':')[0]:<28} {'not priced':<34} unpriced ({line.split(': ', 1)[1]})" for line in report.unpriced
    ]
    lines.append(f"  {report.total_label:<28} {format_interval(report.total_j, 'J'):<34} {report.badge}")
    for name, part in (("dynamic", report.dynamic_j), ("static", report.static_j), ("x86", report.host_j)):
        lines.append(f"    of it {name:<20} {format_interval(part, 'J')}")
    lines.append(f"  {format_share(report.assumed_share)} of the central total rests on assumed figures")
    if report.timing and report.edp_js:
        lines += [
            "",
            f"time step {format_interval(report.timing.step_s, 's')}; inference of {report.timing.num_steps} steps "
            f"{format_interval(report.timing.inference_s, 's')}; {report.timing.kind}",
            f"energy-delay product {format_interval(report.edp_js, 'J·s')}",
        ]
    cores = report.cores
    lines += ["", f"at least {cores.num_cores} core(s) on {cores.num_chips} chip(s), {cores.binding_limit} binds"]
    lines += [f"  {layer.layer:<28} {layer.num_cores:>5}  {layer.binding_limit}" for layer in cores.layers]
    lines += [f"  ({cores.caveat})", "", *(f"note: {note}" for note in report.notes)]
    return "\n".join(lines)


def profile_text(profile: Profile) -> str:
    """Return one profile with the source of every figure."""
    lines = [f"{profile.name}: {profile.title} ({profile.family}{', provisional' if profile.provisional else ''})"]
    lines += [f"  {note}" for note in profile.notes]
    lines += ["", "coefficients: central (low to high), kind"]
    for entry in profile.coefficients:
        unit = "" if entry.unit == "1" else entry.unit
        low, value, high = (format_si(figure, unit) for figure in (entry.low, entry.value, entry.high))
        lines += [
            f"  {entry.name}: {value} ({low} to {high}), {entry.kind}",
            f"      covers {entry.covers}",
            f"      source {entry.source}",
        ]
    if profile.limits:
        lines += ["", "limits"]
        lines += [f"  {limit.name}: {format_count(limit.value)}  [{limit.source}]" for limit in profile.limits]
    if profile.capabilities:
        lines += ["", "capabilities"]
        lines += [
            f"  {entry.name}: {'yes' if entry.supported else 'no'}  [{entry.source}]" for entry in profile.capabilities
        ]
    if profile.integers is not None:
        widths = ", ".join(f"{name} {width}" for name, width in vars(profile.integers).items())
        lines += ["", f"integers: {widths}"]
    return "\n".join(lines)
