with

node_hours as (

    select * from {{ ref('int_node_hours') }}

),

types as (

    select * from {{ ref('int_instance_types__resolved') }}

),

-- vCPU 9 : GiB 1 on every instance; accelerators carry nothing.
weighted as (

    select
        node_hours.*,
        types.vcpu,
        types.memory_gib,
        types.accelerators,
        types.accelerator_memory_gib,
        0::decimal(18, 14) as accelerator_weight,
        9::decimal(18, 14) as vcpu_weight,
        1::decimal(18, 14) as memory_weight
    from node_hours
    inner join types
        on
            node_hours.billing_month = types.billing_month
            and coalesce(node_hours.instance_type, '') = types.instance_type

),

{{ price_resources('weighted', 1) }}
