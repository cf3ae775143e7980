"""The node groups of the sample month: what was bought, where, and when it ran.

Holds the part of the story that the bill sees. What ran on the nodes is in
``workloads.py``, commitments in ``commitments.py``.
"""

from __future__ import annotations

from orchestration.sample.spans import Calendar
from orchestration.sample.world import (
    AMD_GPU,
    ATLAS,
    GPU,
    HARBOR,
    LAB,
    MIG_1G,
    MIG_2G,
    MIG_3G,
    NEURON_CORE,
    NEURON_DEVICE,
    NodeGroup,
    at,
)

PREPARATION_NIGHTS = (3, 10, 17, 24)
"""Days on whose evening Spot nodes are started to prepare training data."""

_LAUNCH = at(23, 17, 42, 30)
"""When the last On-Demand p5 is given back; its capacity reservation stays."""

BLOCK = (at(20, 11, 30), at(23, 11, 30))
"""The Capacity Block: two p5 for three days. AWS takes them back half an hour before."""


def node_groups(calendar: Calendar) -> list[NodeGroup]:
    """All node groups, in order of clusters; those that came later come last."""
    always = calendar.always()
    nvidia = {"nvidia.com/gpu.present": "true"}

    def gpu_labels(product: str, count: int, gib: int, **more: str) -> dict[str, str]:
        return {
            **nvidia,
            "nvidia.com/gpu.product": product,
            "nvidia.com/gpu.count": str(count),
            "nvidia.com/gpu.memory": str(gib),
            **{f"nvidia.com/{key.replace('_', '.')}": value for key, value in more.items()},
        }

    h100 = gpu_labels("NVIDIA-H100-80GB-HBM3", 8, 81559)
    a10g = gpu_labels("NVIDIA-A10G-SHARED", 1, 23028, gpu_replicas="4")
    l4 = gpu_labels("NVIDIA-L4", 1, 23034)
    neuron = {"aws.amazon.com/neuron.present": "true"}
    spot_renders = calendar.interrupted("g4ad", at(1, 5, 12, 8), calendar.end, 260)
    spot_sweeps = calendar.interrupted("g6 a", at(5, 7, 3, 40), at(26, 18, 20), 150)
    spot_sweeps += calendar.interrupted("g6 b", at(5, 7, 3, 52), at(26, 18, 20), 170)
    nights = tuple(
        life
        for day in PREPARATION_NIGHTS
        for number in range(3)
        for life in calendar.interrupted(
            f"m5 {day} {number}", at(day, 20, 5 + number), at(day + 1, 4, 30), 12
        )
    )
    repaired = ((0, at(12, 6, 41, 17)), calendar.until_end(at(12, 11, 6, 2)))
    return [
        NodeGroup(
            cluster=ATLAS,
            name="p5-committed",
            instance_type="p5.48xlarge",
            lives=(always,) * 5 + (repaired,),
            devices={GPU: 8},
            labels=h100,
            team="foundation",
        ),
        NodeGroup(
            cluster=ATLAS,
            name="p5-launch",
            instance_type="p5.48xlarge",
            lives=(((at(3, 8, 30, 12), _LAUNCH),),),
            devices={GPU: 8},
            labels=h100,
            team="alignment",
        ),
        NodeGroup(
            cluster=ATLAS,
            name="p4d-standby",
            instance_type="p4d.24xlarge",
            lives=((calendar.until_end(at(9, 8, 12, 30)),),),
            devices={GPU: 8},
            labels=gpu_labels("NVIDIA-A100-SXM4-40GB", 8, 40960),
            team="vision",
        ),
        NodeGroup(
            cluster=ATLAS,
            name="trn1",
            instance_type="trn1.32xlarge",
            lives=(((at(5, 9, 14, 3), at(17, 12, 50, 44)),),) * 2,
            devices={NEURON_DEVICE: 16, NEURON_CORE: 32},
            labels=neuron,
            team="speech",
        ),
        NodeGroup(
            cluster=ATLAS, name="system", instance_type="m5.2xlarge", lives=(always,) * 3
        ),
        NodeGroup(
            cluster=ATLAS,
            name="preparation",
            instance_type="m5.4xlarge",
            lives=nights,
            market="spot",
            team="data",
        ),
        NodeGroup(
            cluster=HARBOR, name="general", instance_type="m5.4xlarge", lives=(always,) * 3
        ),
        NodeGroup(
            cluster=HARBOR,
            name="g5-shared",
            instance_type="g5.2xlarge",
            lives=(always,) * 3,
            devices={GPU: 4},
            labels=a10g,
            team="search",
        ),
        NodeGroup(
            cluster=HARBOR,
            name="g6-base",
            instance_type="g6.2xlarge",
            lives=(always,) * 4,
            devices={GPU: 1},
            labels=l4,
            team="assistant",
        ),
        NodeGroup(
            cluster=HARBOR,
            name="g6-peak",
            instance_type="g6.2xlarge",
            lives=tuple(calendar.daytime(f"g6-peak {n}", 6 + n, 21 - n) for n in range(4)),
            devices={GPU: 1},
            labels=l4,
            team="assistant",
        ),
        *(
            NodeGroup(
                cluster=HARBOR,
                name=f"g6f-{size}",
                instance_type=f"g6f.{size}",
                lives=(always,),
                devices={GPU: 1},
                labels=gpu_labels(f"NVIDIA-L4-{mib}M", 1, mib),
                team=team,
            )
            for size, mib, team in (
                ("large", 2861, "speech"),
                ("xlarge", 2861, "search"),
                ("2xlarge", 5722, "vision"),
                ("4xlarge", 11444, "vision"),
            )
        ),
        NodeGroup(
            cluster=HARBOR,
            name="inf2-small",
            instance_type="inf2.8xlarge",
            lives=(always,) * 2,
            devices={NEURON_DEVICE: 1, NEURON_CORE: 2},
            labels=neuron,
            team="assistant",
        ),
        NodeGroup(
            cluster=HARBOR,
            name="inf2-large",
            instance_type="inf2.24xlarge",
            lives=(always,),
            devices={NEURON_DEVICE: 6, NEURON_CORE: 12},
            labels=neuron,
            team="assistant",
        ),
        NodeGroup(
            cluster=HARBOR,
            name="g4ad-render",
            instance_type="g4ad.4xlarge",
            lives=spot_renders,
            market="spot",
            devices={AMD_GPU: 1},
            labels={"amd.com/gpu.present": "true"},
            team="vision",
        ),
        NodeGroup(
            cluster=HARBOR,
            name="bastion",
            instance_type="t3.medium",
            lives=(always,),
            is_in_cluster=False,
        ),
        NodeGroup(
            cluster=LAB,
            name="p4d-mig",
            instance_type="p4d.24xlarge",
            lives=(always,) * 2,
            devices={GPU: 4, MIG_1G: 8, MIG_2G: 3, MIG_3G: 4},
            labels=gpu_labels(
                "NVIDIA-A100-SXM4-40GB", 8, 40960, mig_strategy="mixed", mig_capable="true"
            ),
            team="biology",
        ),
        NodeGroup(
            cluster=LAB,
            name="g5-notebooks",
            instance_type="g5.12xlarge",
            lives=(always,) * 2,
            devices={GPU: 16},
            labels=gpu_labels("NVIDIA-A10G-SHARED", 4, 23028, gpu_replicas="4"),
            team="research",
        ),
        NodeGroup(
            cluster=LAB,
            name="g6-sweep",
            instance_type="g6.12xlarge",
            lives=spot_sweeps,
            market="spot",
            devices={GPU: 4},
            labels=gpu_labels("NVIDIA-L4", 4, 23034),
            team="research",
        ),
        NodeGroup(
            cluster=LAB, name="system", instance_type="m5.2xlarge", lives=(always,) * 3
        ),
        NodeGroup(
            cluster=LAB,
            name="g5-lost",
            instance_type="g5.xlarge",
            lives=((calendar.until_end(at(6, 13, 27, 51)),),),
            team="research",
            is_in_cluster=False,
        ),
        # The second node came the next morning, and both left when the training was done.
        NodeGroup(
            cluster=ATLAS,
            name="p5-block",
            instance_type="p5.48xlarge",
            lives=(
                ((at(20, 11, 41, 15), at(22, 22, 36, 8)),),
                ((at(21, 7, 2, 33), at(22, 22, 36, 50)),),
            ),
            market="capacity-block",
            devices={GPU: 8},
            labels=h100,
            team="vision",
            has_own_chance=True,
        ),
        NodeGroup(
            cluster=HARBOR,
            name="auto-l40s",
            instance_type="g6e.xlarge",
            lives=(
                ((at(6, 9, 20, 18), at(20, 9, 31, 40)),),
                ((at(6, 9, 21, 2), at(27, 9, 16, 25)),),
            ),
            devices={GPU: 1},
            labels=gpu_labels("NVIDIA-L40S", 1, 46068),
            team="assistant",
            is_auto_mode=True,
            has_own_chance=True,
        ),
    ]
