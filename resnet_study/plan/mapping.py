"""A plan for programs: nested dicts and lists."""

from __future__ import annotations

from typing import Any

from resnet_study.plan.plan import Plan


def as_mapping(plan: Plan) -> dict[str, Any]:
    """A plan as nested dicts and lists, ready for JSON; times in seconds, disk in bytes."""
    place, benchmark = plan.place, plan.benchmark
    asked = [run for run in plan.runs if run.asked]
    return {
        "folder": str(plan.folder),
        "runs": len(asked),
        "finished": sum(run.complete for run in asked),
        "begun": sum(run.begun for run in asked),
        "wall_seconds": round(plan.wall_seconds, 1),
        "run_seconds": round(plan.run_seconds, 1),
        "core_hours": round(plan.core_hours, 3),
        "gpu_hours": round(plan.gpu_hours, 3),
        "bytes_while": plan.bytes_while,
        "bytes_kept": plan.bytes_kept,
        "bytes_free": plan.bytes_free,
        "launcher": {
            "name": place.launcher,
            "workers": place.workers,
            "threads": place.threads,
            "gpus": place.gpus,
            "timeout_minutes": place.minutes[0] if place.minutes else None,
            "timeouts": place.minutes[1] if place.minutes else None,
        },
        "benchmark": {
            "path": str(benchmark.path),
            "device_name": benchmark.device_name,
            "cores": benchmark.cores,
            "is": plan.source,
        },
        "each": [
            {
                "run_id": run.config.run_id,
                "asked": run.asked,
                "state": run.state,
                "iteration": run.iteration,
                "iterations": run.config.schedule.iterations,
                "saved": run.saved,
                "seconds": round(run.estimate.seconds, 1),
                "seconds_left": round(run.seconds_left, 1),
                "from": run.estimate.basis,
                "spread_percent": run.estimate.spread,
                "notes": list(run.estimate.notes),
            }
            for run in plan.runs
        ],
    }
