with

node_hours as (

    select * from {{ ref('int_node_hours') }}

),

types as (

    select * from {{ ref('int_instance_types__resolved') }}

),

-- Accelerator 9 : vCPU 0.9 : GiB 0.1 where there are accelerators, else 9 : 1.
weighted as (

    select
        node_hours.*,
        types.vcpu,
        types.memory_gib,
        types.accelerators,
        types.accelerator_memory_gib,
        (
            case when types.accelerators > 0 then 9 else 0 end
        )::decimal(18, 14) as accelerator_weight,
        (
            case when types.accelerators > 0 then 0.9 else 9 end
        )::decimal(18, 14) as vcpu_weight,
        (
            case when types.accelerators > 0 then 0.1 else 1 end
        )::decimal(18, 14) as memory_weight
    from node_hours
    inner join types
        on
            node_hours.billing_month = types.billing_month
            and coalesce(node_hours.instance_type, '') = types.instance_type

),

{{ price_resources('weighted', 2) }}
